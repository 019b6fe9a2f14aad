#include "mephisto/settings.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>

#include "app/settings_file.h"
#include "base/text.h"
#include "mephisto/cron/time_zone.h"
#include "mephisto/error.h"
#include "mephisto/log.h"
#include "mephisto/logging.h"
#include "mephisto/base/time.h"

namespace mephisto {
namespace {

using Type = SettingSpec::Type;

constexpr int kMaxShards = 1024;  // a larger number is a typing error

// Settings that Faust has too have Faust's names.
std::vector<SettingSpec> framework_settings() {
  return {
      {.name = "broker",
       .help = "the log: local://FOLDER, kafka://HOST:PORT (several separated by ;), or memory:// within one process; "
               "empty: local:// in the folder log of datadir",
       .alias = "kafka.servers",
       .check =
           [](const std::string& url) {
             auto usable = check_log_url(url);
             return usable ? std::string{} : usable.error().message;
           },
       .list = true},
      {"datadir", Type::kText, "", "where local state is kept; empty: ID-data in the working directory"},
      {"processing_guarantee",
       Type::kChoice,
       "at_least_once",
       "the guarantee for each record",
       false,
       {"at_least_once", "exactly_once"}},
      {.name = "shards",
       .type = Type::kInteger,
       .default_value = "0",
       .help = "threads of a worker, each with its own part of the partitions; 0: one for each core",
       .most = kMaxShards},
      {.name = "topic_partitions",
       .type = Type::kInteger,
       .default_value = "8",
       .help = "partitions of created topics whose declaration gives no number",
       .least = 1,
       .most = kMaxPartitions},
      {.name = "topic_replication_factor",
       .type = Type::kInteger,
       .default_value = "1",
       .help = "replicas of created topics, where the log has several brokers",
       .least = 1,
       .most = std::numeric_limits<std::int16_t>::max()},
      {"topic_allow_declare", Type::kFlag, "true",
       "whether missing topics are created, by a worker at its start and by later sends (otherwise "
       "an error names them)"},
      {"topic_disable_leader", Type::kFlag, "false",
       "whether to run without the leader topic; then nothing that is on_leader runs, unless there are crontabs"},
      {.name = "timezone",
       .default_value = "UTC",
       .help = "the time zone of crontabs that have none, a name of the IANA database",
       .check =
           [](const std::string& name) {
             const auto zone = TimeZone::find(name);
             return zone ? std::string{} : zone.error().message;
           }},
      {.name = "reply_to_topics",
       .help = "where a request may want its reply, besides reply topics (f-reply-*) and topics that the app "
               "declares: names separated by ;, PREFIX* for all with this prefix",
       .list = true},
      {"consumer_auto_offset_reset",
       Type::kChoice,
       "earliest",
       "where a group without committed offsets starts",
       false,
       {"earliest", "latest"}},
      {.name = "broker_commit_interval",
       .type = Type::kDuration,
       .help = "time between commits; empty: 2.8s, with exactly_once 0.1s",
       .least = 1},
      {.name = "broker_commit_every",
       .type = Type::kInteger,
       .default_value = "10000",
       .help = "commit after this many acknowledged records at the latest",
       .least = 1},
      {.name = "broker_session_timeout",
       .type = Type::kDuration,
       .default_value = "2s",
       .help = "a worker that sends no heartbeat for this long loses its partitions",
       .least = 100},
      {"consumer_group_instance_id", Type::kText, "",
       "a static name for this worker: while it restarts, for at most broker_session_timeout, its group on Kafka keeps "
       "its partitions for it"},
      {.name = "stream_buffer_maxsize",
       .type = Type::kInteger,
       .default_value = "4096",
       .help = "records of a partition that may be delivered after an unacknowledged one",
       .least = 1},
      {"memory_budget", Type::kBytes, "64MiB",
       "bytes of fetched records in the whole worker; if tables are on rocksdb://, three quarters of it are for their "
       "caches and write buffers"},
      {"store", Type::kText, "memory://",
       "where workers keep the state of tables: memory://, which is restored from the changelogs at every start, or "
       "rocksdb://"},
      {"tabledir", Type::kText, "",
       "folder of the stores; empty: the folder tables in the folder of the app's version"},
      {.name = "table_standby_replicas",
       .type = Type::kInteger,
       .default_value = "0",
       .help = "other workers that keep the state of each partition of the tables up to date, so that a takeover takes "
               "no time; each needs the memory or the disk for it"},
      {"table_snapshot_dir", Type::kText, "",
       "folder for snapshots of tables on rocksdb://, which workers on new machines begin with; all machines should "
       "see it; empty: none"},
      {.name = "table_snapshot_interval",
       .type = Type::kDuration,
       .default_value = "10m",
       .help = "time between snapshots",
       .least = 1000},
      {"close_idle", Type::kDuration, "0s",
       "a partition whose stream time stands still for this long closes its windows and answers its joins by the "
       "clock, "
       "if it has no records to process; 0s: only records do that"},
      {"web", Type::kFlag, "true", "whether workers serve web pages"},
      {.name = "web_port",
       .type = Type::kInteger,
       .default_value = "6066",
       .help = "port of the web pages, 0: any free one; if the default is taken, the next free one",
       .most = 65535},
      {"web_bind", Type::kText, "127.0.0.1", "the address that the web pages are served on; 0.0.0.0 or :: for all"},
      {"web_host", Type::kText, "",
       "the name by which other machines and workers reach this worker's web pages; empty: the machine's name"},
      {.name = "web_token",
       .help =
           "who asks for a page must give this token: Authorization: Bearer TOKEN, or ?token=TOKEN once in a browser",
       .secret = true},
      {"web_auth",
       Type::kChoice,
       "token",
       "none: the pages are open to everybody who reaches web_bind, without a token",
       false,
       {"token", "none"}},
      {"web_tls_certificate", Type::kText, "",
       "file in PEM with the certificate of the web pages, and those that lead to its authority; empty: no TLS"},
      {"web_tls_key", Type::kText, "", "file in PEM with the certificate's key, without a password"},
      {.name = "web_cors_origins",
       .help = "origins whose pages may read these pages in a browser, like https://shop.example; * for all",
       .list = true},
      {"web_drain_delay", Type::kDuration, "0s",
       "how long a worker goes on after it was told to stop, while /ready says 503, so that load balancers send it no "
       "more requests"},
      {"drain_timeout", Type::kDuration, "10s",
       "how long a stop, or a partition that moves, waits for events in progress, and a command after a signal for "
       "what it sent"},
      {.name = "statsd",
       .help = "where metrics are sent, in the form of statsd: HOST:PORT (UDP); empty: nowhere",
       .check =
           [](const std::string& place) {
             const auto colon = place.rfind(':');
             int port = 0;
             return colon != std::string::npos && colon > 0 && take_number(place.substr(colon + 1), port) && port > 0 &&
                            port < 65536
                        ? std::string{}
                        : "\"" + printable(place) + "\" is not HOST:PORT";
           }},
      {"statsd_tags",
       Type::kChoice,
       "none",
       "datadog: labels are sent as Datadog's tags; none: they are a part of the name",
       false,
       {"none", "datadog"}},
      {.name = "statsd_interval",
       .type = Type::kDuration,
       .default_value = "10s",
       .help = "time between two sendings to statsd",
       .least = 100},
      {"log_format",
       Type::kChoice,
       "text",
       "the form of log lines: text, or a JSON object a line, with topic, partition and offset of the event in "
       "progress",
       false,
       {"text", "json"}},
      {.name = "maintenance_interval",
       .type = Type::kDuration,
       .default_value = "5m",
       .help = "time between applications of retention and compaction",
       .least = 1000},
  };
}

Result<std::size_t> parse_bytes(std::string_view text) {
  std::uint64_t number = 0;
  auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), number);
  std::string_view unit{end, static_cast<std::size_t>(text.data() + text.size() - end)};
  std::uint64_t factor = 0;
  if (unit.empty() || unit == "B")
    factor = 1;
  else if (unit == "KiB" || unit == "K")
    factor = 1 << 10;
  else if (unit == "MiB" || unit == "M")
    factor = 1 << 20;
  else if (unit == "GiB" || unit == "G")
    factor = 1 << 30;
  if (code != std::errc{} || factor == 0 || number == 0 || number > (std::uint64_t{1} << 50) / factor) {
    return fail(ErrorKind::kInvalid, fmt::format("\"{}\" is not a size: write bytes, or 512KiB, 64MiB, 1GiB", text));
  }
  return number * factor;
}

// Each property of librdkafka is a setting with this prefix.
constexpr std::string_view kKafkaProperties = "kafka.properties.";
constexpr std::string_view kFile = "_FILE";

// The expected kind of value, for messages.
std::string_view described(Type type) {
  switch (type) {
    case Type::kText: return "a text";
    case Type::kInteger: return "a whole number";
    case Type::kDuration: return "a duration";
    case Type::kBytes: return "a size";
    case Type::kFlag: return "true or false";
    case Type::kChoice: return "a word";
  }
  return "";
}

bool parse_flag(const std::string& text, bool& value) {
  auto lower = to_lower(text);
  value = lower == "true" || lower == "yes" || lower == "on" || lower == "1";
  return value || lower == "false" || lower == "no" || lower == "off" || lower == "0";
}

void check(const SettingSpec& spec, const std::string& text) {
  auto refuse = [&](const std::string& why) { throw Failure(ErrorKind::kInvalid, why); };
  if (text.empty() && spec.default_value.empty()) return;
  // A control character is a mistake in the file or shell, and would end a header or a line of a protocol. Only keys
  // and certificates have several lines.
  const auto control = std::ranges::find_if(
      text, [&](char c) { return (static_cast<unsigned char>(c) < ' ' || c == '\x7f') && c != '\t'; });
  if (control != text.end() && !spec.name.ends_with(".pem")) {
    refuse(*control == '\n' || *control == '\r' ? "the value has more than one line"
                                                : "the value has a control character, " + printable({&*control, 1}));
  }
  if (spec.check) {
    if (auto wrong = spec.check(text); !wrong.empty()) refuse(wrong);
  }
  switch (spec.type) {
    case Type::kText: return;
    case Type::kInteger: {
      std::int64_t number = 0;
      auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), number);
      if (code != std::errc{} || end != text.data() + text.size() || number < spec.least || number > spec.most) {
        auto to = spec.most == std::numeric_limits<std::int64_t>::max() ? "" : fmt::format(" to {}", spec.most);
        refuse(fmt::format("\"{}\" is not a whole number from {}{}", printable(text), spec.least, to));
      }
      return;
    }
    case Type::kDuration: {
      auto parsed = parse_duration(text);
      if (!parsed) refuse(parsed.error().message);
      if (parsed->count() < spec.least)
        refuse(fmt::format("\"{}\" is too short: at least {}", text,
                           format_duration(std::chrono::milliseconds{spec.least})));
      return;
    }
    case Type::kBytes:
      if (auto parsed = parse_bytes(text); !parsed) refuse(parsed.error().message);
      return;
    case Type::kFlag: {
      bool value = false;
      if (!parse_flag(text, value)) refuse(fmt::format("\"{}\" is neither true nor false", printable(text)));
      return;
    }
    case Type::kChoice:
      if (std::ranges::find(spec.choices, text) == spec.choices.end()) {
        refuse(fmt::format("\"{}\" is not one of {}{}", printable(text), fmt::join(spec.choices, ", "),
                           did_you_mean(text, spec.choices)));
      }
      return;
  }
}

// The message with the value replaced by ***.
std::string without(const std::string& value, std::string message) {
  for (const auto& shown : {value, printable(value)}) {
    for (std::size_t at = 0; !shown.empty() && (at = message.find(shown, at)) != std::string::npos; at += 3)
      message.replace(at, shown.size(), "***");
  }
  return message;
}

}  // namespace

Settings::Settings(std::string app_id) : app_id_(std::move(app_id)), specs_(framework_settings()) {
  for (const auto& spec : specs_) values_[spec.name] = {spec.default_value, "default"};
}

const SettingSpec* Settings::find(const std::string& name) const {
  auto spec = std::ranges::find_if(
      specs_, [&](const SettingSpec& one) { return one.name == name || (!one.alias.empty() && one.alias == name); });
  return spec == specs_.end() ? nullptr : &*spec;
}

const SettingSpec* Settings::find_or_make(const std::string& name) {
  if (const auto* spec = find(name)) return spec;
  if (!name.starts_with(kKafkaProperties) || name.size() == kKafkaProperties.size()) return nullptr;
  const auto property = name.substr(kKafkaProperties.size());
  SettingSpec spec{.name = name, .help = "a property of librdkafka"};
  spec.secret = is_secret_log_property(property);
  spec.check = [property](const std::string& text) {
    auto sound = check_log_property(property, text);
    return sound ? std::string{} : sound.error().message;
  };
  add(std::move(spec));
  return find(name);
}

void Settings::add(SettingSpec spec, std::source_location where) {
  for (const auto& name : {spec.name, spec.alias}) {
    const auto* other = name.empty() ? nullptr : find(name);
    if (other == nullptr) continue;
    const auto place = declared_at_.find(other->name);
    const auto first = place == declared_at_.end()
                           ? "every app has it"
                           : fmt::format("the first time at {}:{}", place->second.file_name(), place->second.line());
    throw Failure(ErrorKind::kInvalid,
                  fmt::format("{}:{}: setting {} is declared twice: {}", where.file_name(), where.line(), name, first));
  }
  declared_at_.emplace(spec.name, where);
  values_[spec.name] = {spec.default_value, "default"};
  specs_.push_back(std::move(spec));
}

void Settings::set(const std::string& name, const std::string& text, std::string source) {
  const auto* spec = find_or_make(name);
  if (spec == nullptr) {
    std::vector<std::string> known;
    for (const auto& one : specs_) {
      if (one.name.starts_with(name + ".")) {
        throw Failure(ErrorKind::kInvalid,
                      fmt::format("{}: \"{}\" is a section, not a setting: name one in it, such as {}", source,
                                  printable(name), one.name));
      }
      known.push_back(one.name);
    }
    throw Failure(ErrorKind::kInvalid, fmt::format("{}: there is no setting \"{}\" (see: {} config){}", source,
                                                   printable(name), app_id_, did_you_mean(name, known)));
  }
  try {
    check(*spec, text);
  } catch (const Failure& failure) {
    // A URL that is set by mistake may contain its password.
    const bool hide = spec->secret || text.find_first_of("@?") != std::string::npos;
    throw Failure(ErrorKind::kInvalid,
                  fmt::format("{}: {}: {}", source, name, hide ? without(text, failure.what()) : failure.what()));
  }
  if (spec->secret) log::mask_secret(text);
  values_[spec->name] = {text, std::move(source)};
}

void Settings::load_yaml(const std::string& path) {
  std::map<std::string, std::string> places;  // by the setting's name, not its alias
  for (auto& one : read_settings_file(path)) {
    const auto* spec = find(one.name);
    const auto [before, fresh] = places.try_emplace(spec == nullptr ? one.name : spec->name, one.source);
    if (!fresh)
      throw Failure(ErrorKind::kInvalid, fmt::format("{}: {} is set twice, first at {}: leave one of them out",
                                                     one.source, printable(one.name), before->second));
    if (spec != nullptr && one.list && !spec->list) {
      throw Failure(ErrorKind::kInvalid,
                    fmt::format("{}: {}: expected {}, found a list", one.source, one.name, described(spec->type)));
    }
    if (spec != nullptr && spec->name == "broker" && one.text.empty()) {
      throw Failure(
          ErrorKind::kInvalid,
          fmt::format("{}: {}: it names no log: give one, or leave the setting out for a log in the data folder",
                      one.source, one.name));
    }
    set(one.name, one.text, one.source);
  }
}

std::string Settings::environment_name(const std::string& name) const {
  auto text = to_upper(app_id_ + "_" + name);
  for (char& c : text) {
    if (c == '.' || c == '-') c = '_';
  }
  return text;
}

// The variable holds the value, or a variable with the suffix _FILE names a file with it, as with container secrets.
void Settings::set_from_environment(const std::string& name, const std::string& variable) {
  const auto of_file = variable + std::string{kFile};
  const char* text = std::getenv(variable.c_str());
  const char* path = std::getenv(of_file.c_str());
  if (text != nullptr && path != nullptr)
    throw Failure(ErrorKind::kInvalid,
                  fmt::format("environment: {} and {} are both set: leave one of them out", variable, of_file));
  if (text != nullptr) set(name, text, "environment " + variable);
  if (path == nullptr) return;
  std::string value;
  try {
    value = read_value_file(path);
  } catch (const Failure& failure) {
    throw Failure(ErrorKind::kInvalid, fmt::format("environment {}: {}", of_file, failure.what()));
  }
  set(name, value, fmt::format("environment {}: {}", of_file, path));
}

void Settings::load_environment() {
  std::vector<std::string> known;
  for (const auto& spec : std::vector{specs_}) {
    for (const auto& name : {spec.name, spec.alias}) {
      if (name.empty()) continue;
      auto variable = environment_name(name);
      known.push_back(variable);
      set_from_environment(name, variable);
      known.push_back(variable + std::string{kFile});
    }
  }
  // An unknown name is not an error: another program may use the same prefix.
  for (char** one = environ; *one != nullptr; ++one) {
    const auto variable = std::string{*one}.substr(0, std::string_view{*one}.find('='));
    if (const auto prefix = environment_name(std::string{kKafkaProperties}); variable.starts_with(prefix)) {
      const auto of = variable.ends_with(kFile) ? variable.substr(0, variable.size() - kFile.size()) : variable;
      auto name = to_lower(of.substr(std::min(prefix.size(), of.size())));
      std::ranges::replace(name, '_', '.');
      set_from_environment(std::string{kKafkaProperties} + name, of);
      continue;
    }
    if (!variable.starts_with(environment_name("")) || std::ranges::find(known, variable) != known.end()) continue;
    log::warn("environment {}: there is no such setting (see: {} config){}", printable(variable), app_id_,
              did_you_mean(variable, known));
  }
}

const Settings::Value& Settings::value(std::string_view name) const {
  auto place = values_.find(name);
  if (place == values_.end()) throw Failure(ErrorKind::kInvalid, fmt::format("there is no setting {}", name));
  return place->second;
}

const std::string& Settings::text(std::string_view name) const { return value(name).text; }

std::map<std::string, std::string> Settings::below(std::string_view section) const {
  const auto prefix = std::string{section} + ".";
  std::map<std::string, std::string> found;
  for (const auto& [name, value] : values_) {
    if (name.starts_with(prefix)) found[name.substr(prefix.size())] = value.text;
  }
  return found;
}

std::int64_t Settings::integer(std::string_view name) const { return std::strtoll(text(name).c_str(), nullptr, 10); }

std::chrono::milliseconds Settings::duration(std::string_view name) const {
  return value_or_throw(parse_duration(text(name)));
}

std::size_t Settings::bytes(std::string_view name) const { return value_or_throw(parse_bytes(text(name))); }

bool Settings::flag(std::string_view name) const {
  bool value = false;
  parse_flag(text(name), value);
  return value;
}

std::vector<Settings::Row> Settings::rows() const {
  std::vector<Row> rows;
  for (const auto& spec : specs_) {
    const auto& current = values_.find(spec.name)->second;
    rows.push_back({&spec, spec.secret && !current.text.empty() ? "***" : current.text, current.source,
                    environment_name(spec.name)});
  }
  return rows;
}

}  // namespace mephisto
