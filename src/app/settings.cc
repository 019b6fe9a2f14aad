#include "mephisto/settings.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>

#include "app/framework_settings.h"
#include "app/settings_file.h"
#include "base/text.h"
#include "mephisto/error.h"
#include "mephisto/log.h"
#include "mephisto/logging.h"
#include "mephisto/base/time.h"

namespace mephisto {
namespace {

using Type = SettingSpec::Type;

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
