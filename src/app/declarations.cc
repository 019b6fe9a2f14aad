// The declarations of an app, and the mistakes in them.
#include <dlfcn.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "base/text.h"
#include "mephisto/app.h"
#include "mephisto/agent/agent_runtime.h"
#include "mephisto/live_check.h"
#include "mephisto/web/page.h"

namespace mephisto {
namespace {

std::string str(const std::source_location& where) { return fmt::format("{}:{}", where.file_name(), where.line()); }

// The properties in which two declarations of one topic differ.
std::vector<std::string> differences(const detail::TopicSpec& a, const detail::TopicSpec& b) {
  std::vector<std::string> all;
  if (a.type != b.type && (a.type == nullptr || b.type == nullptr || *a.type != *b.type))
    all.emplace_back("the type of its values");
  if (a.partitions_set != b.partitions_set || a.config.partitions != b.config.partitions)
    all.emplace_back("partitions");
  if (a.config.retention != b.config.retention) all.emplace_back("retention");
  if (a.config.retention_bytes != b.config.retention_bytes) all.emplace_back("retention_bytes");
  if (a.config.compact != b.config.compact) all.emplace_back("compacting");
  if (a.internal != b.internal) all.emplace_back("internal");
  if (a.value_codec.name() != b.value_codec.name()) all.emplace_back("serializer");
  return all;
}

struct Stack {
  std::uintptr_t low = 0;
  std::uintptr_t high = 0;
  bool has(std::uintptr_t address) const { return address >= low && address < high; }
};

// The stack of this thread.
Stack stack() {
  pthread_attr_t attributes;
  if (pthread_getattr_np(pthread_self(), &attributes) != 0) return {};
  void* low = nullptr;
  std::size_t size = 0;
  pthread_attr_getstack(&attributes, &low, &size);
  pthread_attr_destroy(&attributes);
  const auto begin = reinterpret_cast<std::uintptr_t>(low);
  return {begin, begin + size};
}

// Whether the object is in the data of a program or library, so that it lives until the program ends.
bool is_static(const void* object) {
  Dl_info info;
  return dladdr(object, &info) != 0;
}

std::string captured(std::string_view kind, std::string_view name) {
  return fmt::format(
      "{} {} captures a variable of a function by reference, and it is called when that function has returned: capture "
      "by value, or make the variable static",
      kind, name);
}

// What is wrong with the option by_time; empty: nothing.
std::string wrong_order(const AgentBase& agent) {
  const auto& options = agent.options();
  if (!options.by_time) return "";
  if (options.by_time->count() < 0) return fmt::format("has by_time {} ms: at least 0", options.by_time->count());
  if (agent.order().topics.size() < 2) return "has by_time and one topic, which is in order already: leave it out";
  if (options.concurrency > 1 || !options.concurrency_setting.empty() || options.isolated_partitions)
    return "takes records by_time, one after the other: leave concurrency and isolated_partitions out";
  return "";
}

// A mistake that throws before main(), or on a thread of the author, prints an error message instead of a core dump.
void tell_mistakes() {
  static const std::terminate_handler before = std::set_terminate([] {
    if (const auto error = std::current_exception()) {
      try {
        std::rethrow_exception(error);
      } catch (const Failure& failure) {
        if (failure.kind() == ErrorKind::kInvalid) {
          fmt::print(stderr, "Error: {}\n", failure.what());
          _exit(2);
        }
      } catch (...) {
      }
    }
    before();
  });
}

}  // namespace

void detail::fill(void* bytes, std::size_t size, unsigned char with) { std::memset(bytes, with, size); }

std::vector<std::uintptr_t> detail::equal_words(const void* a, const void* b, std::size_t size) {
  std::vector<std::uintptr_t> words;
  for (std::size_t at = 0; at + sizeof(std::uintptr_t) <= size; at += sizeof(std::uintptr_t)) {
    std::uintptr_t one = 0;
    std::uintptr_t other = 0;
    std::memcpy(&one, static_cast<const char*>(a) + at, sizeof(one));
    std::memcpy(&other, static_cast<const char*>(b) + at, sizeof(other));
    if (one == other) words.push_back(one);
  }
  return words;
}

App::App(std::string id, AppOptions options, std::source_location where)
    : id_(options.version <= 1 ? id : fmt::format("{}-v{}", id, options.version)),
      options_(std::move(options)),
      settings_(id),
      pages_(std::make_unique<Router>()) {
  tell_mistakes();
  if (auto valid = check_topic_name(id_); !valid)
    mistake(where, fmt::format("an app's id follows the rules of topic names: {}", valid.error().message));
}

App::~App() = default;

void App::mistake(std::source_location where, const std::string& what) {
  auto text = fmt::format("{}: {}", str(where), what);
  if (std::ranges::find(mistakes_, text) == mistakes_.end()) mistakes_.push_back(std::move(text));
}

void App::check_not_running(std::string_view what, std::source_location where) const {
  if (running_ > 0)
    throw Failure(
        ErrorKind::kInvalid,
        fmt::format("{}: {} is declared while the app runs: declare it before the app runs", str(where), what));
}

std::string App::location_of(std::string_view kind, std::string_view name) const {
  const auto found =
      std::ranges::find_if(declared_, [&](const Declared& one) { return one.kind == kind && one.name == name; });
  return found == declared_.end() ? "" : str(found->where);
}

void App::declare(std::string kind, const std::string& name, std::source_location where) {
  check_not_running(fmt::format("{} {}", kind, printable(name)), where);
  const auto first = location_of(kind, name);
  if (!first.empty())
    mistake(where, fmt::format("there is {} {} already, declared at {}: give one of them another name", kind,
                               printable(name), first));
  declared_.push_back({std::move(kind), name, where});
}

detail::TopicSpec App::topic_spec(std::string name, const TopicOptions& options, const std::type_info& type,
                                  std::source_location where) {
  check_not_running(fmt::format("topic {}", printable(name)), where);
  detail::TopicSpec spec;
  spec.name = name;
  try {
    spec = detail::make_spec(std::move(name), options);
  } catch (const Failure& failure) {
    mistake(where, failure.what());
  }
  if (options.partitions < 0 || options.partitions > kMaxPartitions) {
    mistake(where,
            fmt::format("topic {} cannot have {} partitions: from 1 to {}, or 0 for the setting topic_partitions",
                        printable(spec.name), options.partitions, kMaxPartitions));
  }
  spec.type = &type;
  spec.where = where;
  const auto same = std::ranges::find_if(topics_, [&](const auto& one) { return one->name() == spec.name; });
  if (same == topics_.end()) return spec;
  if (const auto other = differences((*same)->spec(), spec); !other.empty()) {
    mistake(where, fmt::format("topic {} is declared at {} already, and here differently ({}): declare it once and use "
                               "the reference that it gives",
                               printable(spec.name), str((*same)->spec().where), fmt::join(other, ", ")));
  }
  return spec;
}

detail::TableSpec App::table_spec(std::string name, const TopicOptions& changelog, const std::type_info& type,
                                  std::source_location where) {
  declare("table", name, where);
  detail::TableSpec spec;
  spec.number = tables_.size();
  spec.changelog = topic_spec(fmt::format("{}-{}-changelog", id_, name), changelog, type, where);
  spec.name = std::move(name);
  spec.where = where;
  return spec;
}

void App::check_ttl(std::chrono::milliseconds ttl, const std::string& table, std::source_location where) {
  if (ttl.count() < 0)
    mistake(where, fmt::format("table {} has a negative ttl: zero means that rows do not expire", printable(table)));
}

// A chain that does not begin with json takes bytes.
void App::check_raw(const detail::TableSpec& spec, bool bytes, std::source_location where) {
  const auto& chain = spec.changelog.value_codec.name();
  if (!bytes && split(chain, '|').front() != "json") {
    mistake(where, fmt::format("table {} has the serializer {}, which takes only std::string and Bytes: begin it with "
                               "json",
                               printable(spec.name), printable(chain)));
  }
}

detail::TableSpec App::operator_spec(std::string name, int partitions, std::string store, bool log_every_update,
                                     std::source_location where) {
  TopicOptions changelog;
  changelog.partitions = partitions;
  changelog.compacting = true;
  changelog.internal = true;
  changelog.serializer = "raw";
  auto spec = table_spec(std::move(name), changelog, typeid(std::string), where);
  spec.store = std::move(store);
  spec.log_every_update = log_every_update;
  return spec;
}

void App::add_agent(std::unique_ptr<AgentBase> agent, std::source_location where) {
  const auto& name = agent->name();
  declare("agent", name, where);
  if (auto valid = check_topic_name(fmt::format("{}-{}-dlq", id_, name)); !valid && check_topic_name(id_)) {
    mistake(where, fmt::format("agent {}: its name is part of the name of its topic of dead letters: {}",
                               printable(name), valid.error().message));
  }
  if (agent->options().concurrency < 1)
    mistake(where, fmt::format("agent {} has concurrency {}: at least 1", name, agent->options().concurrency));
  if (agent->options().isolated_partitions && agent->options().concurrency > 1) {
    mistake(
        where,
        fmt::format("agent {} has isolated partitions, which have one coroutine each: leave concurrency at 1", name));
  }
  agent->running = &running_;
  agents_.push_back(std::move(agent));
}

bool App::check_merged(const std::string& agent, const std::vector<const TopicBase*>& topics,
                       std::source_location where) {
  const auto before = mistakes_.size();
  if (topics.empty())
    mistake(where, fmt::format("agent {} has a list of topics without a topic: name one at least", printable(agent)));
  for (auto at = topics.begin(); at != topics.end(); ++at) {
    if (*at == nullptr) {
      mistake(where, fmt::format("agent {}: a topic of its list is null", printable(agent)));
    } else if (std::any_of(topics.begin(), at,
                           [&](const auto* other) { return other != nullptr && other->name() == (*at)->name(); })) {
      mistake(where, fmt::format("agent {} has the topic {} twice in its list: name it once", printable(agent),
                                 printable((*at)->name())));
    }
  }
  return mistakes_.size() == before;
}

bool App::check_lookup(const std::string& name, const LookupOptions& options, bool has_function,
                       std::source_location where) {
  const auto before = mistakes_.size();
  declare("lookup", name, where);
  const auto wrong = [&](const std::string& what) {
    mistake(where, fmt::format("lookup {}{}", printable(name), what));
  };
  if (!has_function) wrong(" has no function: give it one that asks the service");
  if (options.capacity == 0) wrong(": .capacity is 0: remember 1 answer at least");
  for (const auto& [option, time] : {std::pair{".ttl", options.ttl}, std::pair{".miss_ttl", options.miss_ttl}}) {
    if (time.count() < 0)
      wrong(fmt::format(": {} is {} ms: a duration is at least 0, and 0 remembers nothing", option, time.count()));
  }
  return mistakes_.size() == before;
}

void App::order(AgentBase& agent, const std::vector<const TopicBase*>& topics) {
  if (!agent.options().by_time) return;
  detail::TimeOrder order{.topics = {}, .idle = *agent.options().by_time};
  for (const auto* topic : topics) order.topics.push_back(topic->name());
  agent.take_by_time(std::move(order));
}

void App::add_command(std::unique_ptr<CommandBase> command, std::source_location where) {
  const auto& name = command->name();
  declare("command", name, where);
  const bool plain = std::ranges::all_of(
      name, [](unsigned char c) { return std::isalnum(c) != 0 || c == '-' || c == '_' || c == '.' || c >= 0x80; });
  if (name.empty() || name.starts_with('-') || !plain)
    mistake(where,
            fmt::format("\"{}\" cannot be a command's name: a word of letters, digits, '-' and '_'", printable(name)));
  commands_.push_back(std::move(command));
}

void App::add_task(detail::TaskSpec spec, std::source_location where) {
  declare(spec.every ? "timer" : "task", spec.name, where);
  if (spec.every && spec.every->count() <= 0)
    mistake(where, fmt::format("timer {} needs an interval above 0", printable(spec.name)));
  tasks_.push_back(std::move(spec));
}

void App::add_page(const std::function<detail::Page()>& make, std::source_location where) {
  check_not_running("a page", where);
  try {
    pages_->add(make());
  } catch (const Failure& failure) {
    mistake(where, failure.what());
  }
}

void App::add_participant(detail::MakeParticipant make, std::source_location where) {
  check_not_running("state", where);
  participants_.push_back(std::move(make));
}

void App::check_captures(std::string_view kind, const std::string& name, const std::vector<std::uintptr_t>& words,
                         std::source_location where) {
  if (words.empty()) return;
  if (kind == "agent") words_.push_back({name, words});
  const auto here = stack();
  std::vector<std::uintptr_t> on_stack;
  std::ranges::copy_if(words, std::back_inserter(on_stack), [&](std::uintptr_t word) { return here.has(word); });
  if (on_stack.empty()) return;
  if (is_static(this))
    mistake(where, captured(kind, printable(name)));
  else
    captures_.push_back({captured(kind, printable(name)), where, std::move(on_stack)});
}

void App::check_captures_at_start(std::uintptr_t frame) {
  const auto here = stack();
  for (const auto& [what, where, addresses] : captures_) {
    if (std::ranges::any_of(addresses, [&](std::uintptr_t address) { return here.has(address) && address < frame; }))
      mistake(where, what);
  }
}

std::vector<std::string> App::mistakes() const {
  auto all = mistakes_;
  for (const auto& table : tables_) {
    const auto* timers = dynamic_cast<const detail::TimersTable*>(table.get());
    if (timers == nullptr) continue;
    for (const auto& topic : timers->spec().inputs) {
      if (std::ranges::any_of(agents_, [&](const auto& agent) { return agent->topic().name == topic; }) ||
          std::ranges::any_of(merged_, [&](const Merged& one) { return one.topic.name == topic; }))
        continue;
      all.push_back(fmt::format("{}: no agent takes the topic {} of the timers {}: declare one on {}",
                                str(timers->spec().where), printable(topic), printable(timers->name()),
                                topic == timers->due().name ? "their due()" : "it"));
    }
  }
  const auto rows = settings_.rows();
  for (const auto& agent : agents_) {
    const auto& setting = agent->options().concurrency_setting;
    if (!setting.empty() && std::ranges::none_of(rows, [&](const auto& row) { return row.spec->name == setting; })) {
      all.push_back(fmt::format("{}: agent {} takes its concurrency from setting {}, which does not exist",
                                location_of("agent", agent->name()), agent->name(), printable(setting)));
    }
    if (const auto wrong = wrong_order(*agent); !wrong.empty())
      all.push_back(fmt::format("{}: agent {} {}", location_of("agent", agent->name()), agent->name(), wrong));
  }
  return all;
}

std::vector<std::pair<std::string, std::string>> App::users_of(const TableBase& table) const {
  std::vector<std::pair<std::string, std::string>> users;
  const auto address = reinterpret_cast<std::uintptr_t>(&table);
  for (const auto& [name, words] : words_) {
    if (std::ranges::find(words, address) == words.end()) continue;
    for (const auto& agent : agents_) {
      if (agent->name() == name) users.emplace_back(name, agent->topic().name);
    }
    for (const auto& merged : merged_) {
      if (merged.agent->name() == name) users.emplace_back(name, merged.topic.name);
    }
  }
  return users;
}

void App::check() const {
  if (const auto all = mistakes(); !all.empty())
    throw Failure(ErrorKind::kInvalid, fmt::format("{}", fmt::join(all, "\n")));
}

}  // namespace mephisto
