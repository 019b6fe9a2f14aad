// Runs cases of the oracle (data/CREDITS.md) as apps, through the public API, and prints what they give.
#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <stdlib.h>

#include <filesystem>
#include <iostream>
#include <map>
#include <memory>

#include "mephisto/app.h"
#include "mephisto/testing.h"
#include "table/oracle.h"

namespace mephisto::oracle {
namespace {

constexpr const char* kHelp =
    R"(Runs cases of the oracle through the public API on memory://, and prints one line for each:

  {"id": …, "outputs": […], "late": …}

The form is that of the oracle's expectations. "late" counts what Kafka Streams counts as dropped: records that are late
for a window or a versioned table, those without a value in sliding windows and in streams that are joined, and left
rows without a foreign key in an inner join.

Tables take their records in the order of arrival (OnOlder::kOverwrite), as those of Kafka Streams do. In a join of
streams, a record that is out of order gets its unmatched result at once (OutOfOrder::kAtOnce). Lines of the oracle
without "quirks" are equal then. Decisions 0029 and 0030 say how others differ.)";

enum class Restart { kNever, kKept, kLost };

struct Options {
  Restart restart = Restart::kNever;
  bool log_every_update = false;
  std::filesystem::path folder;  // of the stores
};

struct CountAndSum {
  std::int64_t count = 0;
  std::int64_t sum = 0;

  CountAndSum& operator+=(const CountAndSum& later) {
    count += later.count;
    sum += later.sum;
    return *this;
  }
};

Output output_of(const TestRecord& record) {
  return {0, record.key.value_or(""), {}, {}, {}, record.timestamp.time_since_epoch().count()};
}

std::string line_of(const Output& output) {
  const auto window = output.start ? fmt::format(R"("start":{},"end":{},)", *output.start, *output.end) : std::string{};
  return fmt::format(R"({{"after":{},"key":{},{}"value":{},"ts":{}}})", output.after, to_json(output.key), window,
                     output.value.text, output.ts);
}

// The app of a case: topics `a` and `b`, and the operator between them and a topic of results.
class CaseApp {
 public:
  CaseApp(const Case& given, const Options& options) : given_(given), options_(options) {
    app_.settings().set("topic_partitions", "1", "oracle");
    if (options.restart == Restart::kKept) {
      app_.settings().set("store", "rocksdb://", "oracle");
      app_.settings().set("tabledir", options.folder / given.id, "oracle");
      app_.settings().set("memory_budget", "8MiB", "oracle");  // of stores that are opened thousands of times
    }
  }
  virtual ~CaseApp() { std::filesystem::remove_all(options_.folder / given_.id); }
  CaseApp(const CaseApp&) = delete;
  CaseApp& operator=(const CaseApp&) = delete;

  // Runs the case and gives its line.
  std::string run() {
    TestDriver driver{app_};
    std::vector<std::string> lines;
    for (std::size_t i = 0; i < given_.records.size(); ++i) {
      const auto& record = given_.records[i];
      SendOptions send;
      send.key = record.key;
      send.timestamp = Timestamp{std::chrono::milliseconds{record.ts}};
      driver.run(this->send(record, std::move(send)));
      driver.settle();
      const auto results = driver.records(results_topic());
      for (auto at = lines.size(); at < results.size(); ++at) {
        auto output = read(results[at]);
        output.after = static_cast<std::int64_t>(i);
        lines.push_back(line_of(output));
      }
      if (options_.restart == Restart::kNever) continue;
      driver.restart(options_.restart == Restart::kKept ? LocalState::kKept : LocalState::kLost);
    }
    return fmt::format(R"({{"id":{},"outputs":[{}],"late":{}}})", to_json(given_.id), fmt::join(lines, ","), late_);
  }

 protected:
  virtual Task<RecordMetadata> send(const Record& record, SendOptions options) = 0;
  virtual const std::string& results_topic() const = 0;
  virtual Output read(const TestRecord& result) const = 0;

  const Case& given_;
  const Options& options_;
  App app_{"oracle"};
  std::int64_t late_ = 0;
};

class WindowsApp : public CaseApp {
 public:
  using Value = std::optional<std::int64_t>;

  WindowsApp(const Case& given, const Options& options)
      : CaseApp(given, options),
        windows_(app_.windows<std::string>("windows", spec_of(given),
                                           [](CountAndSum& all, const Value& value) {
                                             ++all.count;
                                             all.sum += value.value_or(0);
                                           },
                                           {.log_every_update = options.log_every_update})) {
    windows_.results_to(results_);
    app_.agent("add", records_, [this](Stream<Value> stream) -> Task<void> {
      while (auto value = co_await stream.next()) {
        co_await windows_.add(std::string{value.key()}, *value);
        const auto progress = windows_.progress();
        late_ = progress.late + progress.skipped;
      }
    });
  }

 private:
  Task<RecordMetadata> send(const Record& record, SendOptions options) override {
    return records_.send(record.value, std::move(options));
  }
  const std::string& results_topic() const override { return results_.name(); }
  Output read(const TestRecord& result) const override {
    const auto window = value_or_throw(from_json<Windowed<CountAndSum>>(result.value.value()));
    auto output = output_of(result);
    output.start = window.start.time_since_epoch().count();
    output.end = window.end.time_since_epoch().count();
    if (window.value) output.value.text = to_json(*window.value);
    return output;
  }

  Topic<Value>& records_ = app_.topic<Value>("a");
  Topic<Windowed<CountAndSum>>& results_ = app_.topic<Windowed<CountAndSum>>("results");
  WindowedTable<std::string, CountAndSum, Value>& windows_;
};

// Whether Kafka Streams counts such a record as dropped.
bool is_dropped(LeftOut why) {
  return why == LeftOut::kNoValue || why == LeftOut::kLate || why == LeftOut::kNoForeignKey;
}

class JoinApp : public CaseApp {
 public:
  using Value = std::int64_t;

  JoinApp(const Case& given, const Options& options) : CaseApp(given, options), results_(join()) {}

 private:
  const Topic<Joined<Value, Value>>& join() {
    const auto kind = join_of(given_);
    const auto grace = duration(given_.grace_ms.value_or(0));
    const detail::TableOptions table{.on_older = OnOlder::kOverwrite, .history = duration(given_.history_ms)};
    const auto join = [&](auto how) -> const Topic<Joined<Value, Value>>& {
      constexpr bool streams = std::is_same_v<decltype(how), StreamJoinOptions>;
      return app_.join("join", left_, right_, std::move(how),
                       {.log_every_update = options_.log_every_update,
                        .on_left_out = [this](JoinSide, const JoinRecord&, LeftOut why) {
                          // A join of streams in Kafka Streams still takes late records.
                          if (is_dropped(why) && !(streams && why == LeftOut::kLate)) ++late_;
                        }});
    };
    if (given_.kind == "stream_stream_join") return join(stream_join_of(given_, OutOfOrder::kAtOnce));
    if (given_.kind == "stream_table_join") return join(StreamTableJoinOptions{kind, table, grace});
    if (given_.kind == "table_table_join") return join(TableJoinOptions{kind, table, table});
    return join(ForeignKeyJoinOptions<Value>{kind, foreign_key_of, table, table});
  }

  Task<RecordMetadata> send(const Record& record, SendOptions options) override {
    const auto& topic = record.topic == "a" ? left_ : right_;
    if (!record.value) return topic.send_raw(std::nullopt, std::move(options));
    return topic.send(*record.value, std::move(options));
  }
  const std::string& results_topic() const override { return results_.name(); }
  Output read(const TestRecord& result) const override {
    auto output = output_of(result);
    if (!result.value) return output;
    const auto joined = value_or_throw(from_json<Joined<Value, Value>>(*result.value));
    output.value.text = fmt::format("[{},{}]", to_json(joined.left), to_json(joined.right));
    return output;
  }

  Topic<Value>& left_ = app_.topic<Value>("a");
  Topic<Value>& right_ = app_.topic<Value>("b");
  const Topic<Joined<Value, Value>>& results_;
};

std::string run(const Case& given, const Options& options) {
  const auto made = [&]() -> std::unique_ptr<CaseApp> {
    if (given.kind == "tumbling" || given.kind == "hopping" || given.kind == "sliding" || given.kind == "session")
      return std::make_unique<WindowsApp>(given, options);
    if (given.kind.ends_with("_join")) return std::make_unique<JoinApp>(given, options);
    throw Failure(ErrorKind::kInvalid, fmt::format("case {}: there is no operator {}", given.id, given.kind));
  }();
  return made->run();
}

int main_of(int argc, char** argv) {
  CLI::App command{kHelp, "oracle"};
  std::string file;
  Options options;
  command.add_option("FILE", file, "lines of cases, as in tests/table/data/window_cases.jsonl")->required();
  const std::map<std::string, Restart> restarts{{"kept", Restart::kKept}, {"lost", Restart::kLost}};
  command
      .add_option("--restart", options.restart, "a restart of the worker after each record: its store is kept or lost")
      ->transform(CLI::Transformer(restarts).description("kept|lost"))
      ->type_name("");
  command.add_flag("--log-every-update", options.log_every_update,
                   "every update is in the changelogs, also several ones of a key within a commit");
  CLI11_PARSE(command, argc, argv);
  try {
    auto folder = (std::filesystem::temp_directory_path() / "oracle-XXXXXX").string();
    if (options.restart == Restart::kKept) {
      if (mkdtemp(folder.data()) == nullptr)
        throw Failure(ErrorKind::kUnavailable, fmt::format("cannot make the folder {} for the stores", folder));
      options.folder = folder;
    }
    for (const auto& given : read_lines<Case>(file)) fmt::print("{}\n", run(given, options));
    if (!options.folder.empty()) std::filesystem::remove_all(options.folder);
  } catch (const std::exception& error) {
    fmt::print(stderr, "Error: {}\n", error.what());
    return 1;
  }
  return 0;
}

}  // namespace
}  // namespace mephisto::oracle

int main(int argc, char** argv) { return mephisto::oracle::main_of(argc, argv); }
