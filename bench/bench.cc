// Ours beside the raw limit, alternating in one run: medians, ratios and spread. `dev/bench` runs it.
//
// Each case is a pair of functions that do the same work and return how many records (or how many seconds, for latencies) they took; what
// the limit leaves out is exactly the framework.
#include <fmt/format.h>
#include <lmdb.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "mephisto/mephisto.h"

using namespace mephisto;

namespace {

struct Trade {
  std::string symbol;
  double price = 0;
  std::int64_t volume = 0;
  std::int64_t time = 0;
  std::string venue;
};

constexpr int kRecords = 200'000;
constexpr int kKeys = 10'000;
constexpr int kBatch = 1000;  // records of a durable commit

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

Trade trade(int i) { return {fmt::format("SYM{:05}", i % kKeys), 100 + (i % 977) * 0.25, 100 + i % 5000, 1'600'000'000'000 + i, "XNAS"}; }

const std::vector<std::string>& texts() {
  static const std::vector<std::string> made = [] {
    std::vector<std::string> all;
    for (int i = 0; i < kRecords; ++i) all.push_back(to_json(trade(i)));
    return all;
  }();
  return made;
}

// All texts one behind the other with padding at the end, as in a fetched batch.
struct Packed {
  std::string bytes;
  std::vector<std::string_view> views;
  Packed() {
    for (const auto& text : texts()) bytes += text;
    bytes.resize(bytes.size() + kJsonPadding);
    std::size_t at = 0;
    for (const auto& text : texts()) {
      views.emplace_back(bytes.data() + at, text.size());
      at += text.size();
    }
  }
};

volatile double sink_value = 0;

// --- by hand ------------------------------------------------------------------------------------------------------------------

void decode_by_hand(simdjson::ondemand::parser& parser, std::string_view text, Trade& out) {
  auto document = parser.iterate(text.data(), text.size(), text.size() + kJsonPadding);
  simdjson::ondemand::object object = document.get_object();
  out.symbol = std::string_view{object.find_field("symbol")};
  out.price = double{object.find_field("price")};
  out.volume = std::int64_t{object.find_field("volume")};
  out.time = std::int64_t{object.find_field("time")};
  out.venue = std::string_view{object.find_field("venue")};
}

char* put(char* at, std::string_view text) {
  std::memcpy(at, text.data(), text.size());
  return at + text.size();
}

char* put_double(char* at, double value) {
  char* end = std::to_chars(at, at + 32, value).ptr;
  if (std::find(at, end, '.') == end && std::find(at, end, 'e') == end) end = put(end, ".0");
  return end;
}

char* put_text(char* at, std::string_view text) {
  *at++ = '"';
  for (char c : text) {
    if (c == '"' || c == '\\') *at++ = '\\';
    *at++ = c;
  }
  *at++ = '"';
  return at;
}

char* encode_by_hand(char* at, const Trade& value) {
  at = put_text(put(at, "{\"symbol\":"), value.symbol);
  at = put_double(put(at, ",\"price\":"), value.price);
  at = std::to_chars(put(at, ",\"volume\":"), at + 64, value.volume).ptr;
  at = std::to_chars(put(at, ",\"time\":"), at + 64, value.time).ptr;
  at = put_text(put(at, ",\"venue\":"), value.venue);
  *at++ = '}';
  return at;
}

// --- the cases ----------------------------------------------------------------------------------------------------------------

double decode_ours() {
  static const Packed packed;
  Trade value;
  double sum = 0;
  auto start = now();
  for (auto view : packed.views) {
    if (!json::read_padded(view, value)) std::abort();
    sum += value.price;
  }
  auto seconds = now() - start;
  sink_value = sum;
  return kRecords / seconds;
}

double decode_limit() {
  static const Packed packed;
  simdjson::ondemand::parser parser;
  Trade value;
  double sum = 0;
  auto start = now();
  for (auto view : packed.views) {
    decode_by_hand(parser, view, value);
    sum += value.price;
  }
  auto seconds = now() - start;
  sink_value = sum;
  return kRecords / seconds;
}

double encode_ours() {
  std::vector<Trade> trades;
  for (int i = 0; i < kRecords; ++i) trades.push_back(trade(i));
  Buffer out{1 << 16};
  auto start = now();
  for (const auto& value : trades) {
    if (out.size() > 60'000) out.clear();
    json::write(out, value);
  }
  return kRecords / (now() - start);
}

double encode_limit() {
  std::vector<Trade> trades;
  for (int i = 0; i < kRecords; ++i) trades.push_back(trade(i));
  std::string buffer(1 << 17, '\0');
  char* at = buffer.data();
  auto start = now();
  for (const auto& value : trades) {
    if (at - buffer.data() > 60'000) at = buffer.data();
    at = encode_by_hand(at, value);
  }
  return kRecords / (now() - start);
}

std::string fresh_folder(const char* name) {
  auto folder = std::filesystem::current_path() / "build" / "bench" / name;
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  return folder.string();
}

Task<void> fill(Log& log, const std::string& topic, int partitions, int records) {
  TopicConfig config;
  config.partitions = partitions;
  value_or_throw(co_await log.create_topic(topic, config));
  auto producer = log.producer(*Loop::current());
  for (int from = 0; from < records; from += kBatch * partitions) {
    std::vector<OutBatch> batches;
    for (int p = 0; p < partitions; ++p) {
      OutBatch batch{{topic, p}, {}};
      for (int i = from + p; i < std::min(from + kBatch * partitions, records); i += partitions) {
        batch.records.add(fmt::format("SYM{:05}", i % kKeys), texts()[static_cast<std::size_t>(i)], Timestamp{});
      }
      if (!batch.records.empty()) batches.push_back(std::move(batch));
    }
    value_or_throw(co_await producer->append(batches));
  }
}

// decode → change → encode → append, through an agent on the given log.
double pipeline(const std::string& url, int partitions) {
  static int run = 0;
  Loop loop;
  auto log = open_log(url);
  App app{fmt::format("bench{}", run++)};
  app.settings().set("topic_disable_leader", "true", "bench");
  auto& in = app.topic<Trade>("in");
  TopicOptions as_in;
  as_in.partitions = partitions;
  auto& out = app.topic<Trade>(app.id() + "-out", as_in);
  int left = kRecords;
  double finished = 0;
  app.agent("change", in, [&](Stream<Trade> stream) -> Task<void> {
    SendOptions options;
    while (auto event = co_await stream.next()) {
      event->price *= 1.01;
      options.key.emplace(event.key());
      options.partition = event.partition();
      co_await out.cast(*event, options);
      if (--left == 0) {
        co_await detail::Outbox::current().flush();
        finished = now();
      }
    }
  });
  double start = 0;
  loop.run([](App& of, std::shared_ptr<Log> on, int parts, double& from, double& until) -> Task<void> {
    if (!co_await on->topic("in")) co_await fill(*on, "in", parts, kRecords);
    Worker worker{of, on};
    from = now();
    co_await worker.start();
    while (until == 0) co_await sleep_for(std::chrono::milliseconds{1});
    co_await worker.stop();
  }(app, log, partitions, start, finished));
  return kRecords / (finished - start);
}

std::shared_ptr<Log>& kept_memory_log() {
  static std::shared_ptr<Log> log = open_log("memory://bench");
  return log;
}

double memory_pipeline_ours() {
  kept_memory_log();
  return pipeline("memory://bench", 8);
}

// The same work in a loop: views of the stored batches, decode, change, encode into a batch per partition, hand it over.
double memory_pipeline_limit() {
  std::vector<Buffer> stored;
  BatchBuilder builder;
  for (int i = 0; i < kRecords; ++i) {
    builder.add(fmt::format("SYM{:05}", i % kKeys), texts()[static_cast<std::size_t>(i)], Timestamp{});
    if (builder.count() == kBatch) stored.push_back(builder.finish());
  }
  simdjson::ondemand::parser parser;
  Trade value;
  std::vector<Buffer> done;
  auto start = now();
  std::vector<RecordView> records;
  for (const auto& batch : stored) {
    records.clear();
    if (!read_batch(batch.view(), 0, 0, records)) std::abort();
    for (const auto& record : records) {
      decode_by_hand(parser, record.value, value);
      value.price *= 1.01;
      auto& buffer = builder.begin(record.key, Timestamp{});
      char* at = buffer.room(256);
      buffer.commit(encode_by_hand(at, value));
      builder.end();
    }
    done.push_back(builder.finish());
  }
  return kRecords / (now() - start);
}

double local_append_ours() {
  auto folder = fresh_folder("append_ours");
  Loop loop;
  double seconds = 0;
  loop.run([](std::string url, double& took) -> Task<void> {
    auto log = open_log(url);
    TopicConfig config;
    config.partitions = 1;
    value_or_throw(co_await log->create_topic("in", config));
    auto producer = log->producer(*Loop::current());
    auto start = now();
    for (int from = 0; from < kRecords; from += kBatch) {
      std::vector<OutBatch> batches(1);
      batches[0].partition = {"in", 0};
      for (int i = from; i < from + kBatch; ++i) batches[0].records.add(std::nullopt, texts()[static_cast<std::size_t>(i)], Timestamp{});
      value_or_throw(co_await producer->append(batches));
    }
    took = now() - start;
  }("local://" + folder, seconds));
  return kRecords / seconds;
}

struct Lmdb {
  MDB_env* env = nullptr;
  MDB_dbi dbi = 0;
  explicit Lmdb(const std::string& folder) {
    mdb_env_create(&env);
    mdb_env_set_mapsize(env, std::size_t{1} << 30);
    if (mdb_env_open(env, folder.c_str(), MDB_NOTLS, 0600) != MDB_SUCCESS) std::abort();
    MDB_txn* txn = nullptr;
    mdb_txn_begin(env, nullptr, 0, &txn);
    mdb_dbi_open(txn, nullptr, 0, &dbi);
    mdb_txn_commit(txn);
  }
  ~Lmdb() { mdb_env_close(env); }
};

// Plain LMDB: the same texts, a batch per value (length before each), a durable commit per batch.
double local_append_limit() {
  Lmdb lmdb{fresh_folder("append_limit")};
  std::string value;
  auto start = now();
  for (int from = 0; from < kRecords; from += kBatch) {
    value.clear();
    for (int i = from; i < from + kBatch; ++i) {
      const auto& text = texts()[static_cast<std::size_t>(i)];
      auto length = static_cast<std::uint32_t>(text.size());
      value.append(reinterpret_cast<const char*>(&length), 4);
      value += text;
    }
    MDB_txn* txn = nullptr;
    mdb_txn_begin(lmdb.env, nullptr, 0, &txn);
    std::uint64_t key = __builtin_bswap64(static_cast<std::uint64_t>(from));
    MDB_val k{8, &key};
    MDB_val v{value.size(), value.data()};
    if (mdb_put(txn, lmdb.dbi, &k, &v, MDB_APPEND) != MDB_SUCCESS || mdb_txn_commit(txn) != MDB_SUCCESS) std::abort();
  }
  return kRecords / (now() - start);
}

double local_read_ours() {
  static const std::string folder = [] {
    auto made = fresh_folder("read_ours");
    Loop loop;
    loop.run([](std::string url) -> Task<void> {
      auto log = open_log(url);
      co_await fill(*log, "in", 1, kRecords);
    }("local://" + made));
    return made;
  }();
  Loop loop;
  double seconds = 0;
  loop.run([](std::string url, double& took) -> Task<void> {
    auto log = open_log(url);
    ConsumerOptions options;
    options.partitions[{"in", 0}] = 0;
    auto consumer = log->consumer(*Loop::current(), std::move(options));
    int left = kRecords;
    Trade value;
    auto start = now();
    while (left > 0) {
      auto polled = co_await consumer->poll(1 << 20, std::chrono::milliseconds{100});
      for (const auto& batch : polled.batches) {
        for (const auto& record : batch->records) {
          if (!json::read_padded(record.value, value)) std::abort();
          --left;
        }
      }
    }
    took = now() - start;
  }("local://" + folder, seconds));
  return kRecords / seconds;
}

// Plain LMDB: walks the same batches and looks at every record's bytes, without decoding.
double local_read_limit() {
  static const std::string folder = [] {
    local_append_limit();
    return (std::filesystem::current_path() / "build" / "bench" / "append_limit").string();
  }();
  Lmdb lmdb{folder};
  MDB_txn* txn = nullptr;
  MDB_cursor* cursor = nullptr;
  auto start = now();
  mdb_txn_begin(lmdb.env, nullptr, MDB_RDONLY, &txn);
  mdb_cursor_open(txn, lmdb.dbi, &cursor);
  MDB_val k{};
  MDB_val v{};
  int records = 0;
  Trade value;
  simdjson::ondemand::parser parser;
  std::string text;
  while (mdb_cursor_get(cursor, &k, &v, MDB_NEXT) == MDB_SUCCESS) {
    const char* at = static_cast<const char*>(v.mv_data);
    const char* end = at + v.mv_size;
    text.assign(at, v.mv_size);
    text.resize(text.size() + kJsonPadding);
    at = text.data();
    end = at + v.mv_size;
    while (at < end) {
      std::uint32_t length = 0;
      std::memcpy(&length, at, 4);
      sink_value = at[4];
      at += 4 + length;
      ++records;
    }
  }
  auto seconds = now() - start;
  mdb_cursor_close(cursor);
  mdb_txn_abort(txn);
  return records / seconds;
}

double local_pipeline_ours() {
  static const std::string folder = fresh_folder("pipeline");
  static std::shared_ptr<Log> kept = open_log("local://" + folder);
  return pipeline("local://" + folder, 8);
}

double partitions(int count) {
  auto url = fmt::format("memory://partitions{}", count);
  static std::map<int, std::shared_ptr<Log>> kept;
  kept[count] = open_log(url);
  return pipeline(url, count);
}

struct Case {
  std::string name;
  std::string unit;
  std::string against;
  std::function<double()> ours;
  std::function<double()> limit;
};

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

double spread(std::vector<double> values) {
  std::ranges::sort(values);
  return (values.back() - values.front()) / values[values.size() / 2];
}

}  // namespace

int main(int argc, char** argv) {
  bool as_json = false;
  int runs = 5;
  std::string only;
  for (int i = 1; i < argc; ++i) {
    std::string_view argument = argv[i];
    if (argument == "--json")
      as_json = true;
    else if (argument == "--runs" && i + 1 < argc)
      runs = std::max(1, std::atoi(argv[++i]));
    else if (!argument.starts_with('-'))
      only = argument;
    else {
      fmt::print(stderr, "Error: there is no option {}; there are --json, --runs N, and a case's name\n", argument);
      return 2;
    }
  }
  const std::vector<Case> cases{
      {"json_decode", "records/s", "simdjson by hand", decode_ours, decode_limit},
      {"json_encode", "records/s", "a writer by hand", encode_ours, encode_limit},
      {"memory_pipeline", "records/s", "a loop by hand", memory_pipeline_ours, memory_pipeline_limit},
      {"local_append", "records/s", "plain LMDB", local_append_ours, local_append_limit},
      {"local_read", "records/s", "plain LMDB, not decoding", local_read_ours, local_read_limit},
      {"local_pipeline", "records/s", "local_append of ours", local_pipeline_ours, local_append_ours},
      {"partitions_512", "records/s", "8 partitions", [] { return partitions(512); }, [] { return partitions(8); }},
  };
  std::string json;
  if (!as_json) fmt::print("| case | ours | limit | ratio | spread | against |\n|---|---|---|---|---|---|\n");
  for (const auto& one : cases) {
    if (!only.empty() && one.name != only) continue;
    std::vector<double> ours;
    std::vector<double> limit;
    for (int run = 0; run < runs; ++run) {
      ours.push_back(one.ours());
      limit.push_back(one.limit());
    }
    const auto ratio = median(ours) / median(limit);
    if (!as_json) fmt::print("| `{}` | {:.0f} {} | {:.0f} | {:.2f} | {:.0f} % | {} |\n", one.name, median(ours), one.unit, median(limit), ratio, spread(ours) * 100, one.against);
    json += fmt::format(R"({}{{"name":"{}","ours":{:.1f},"limit":{:.1f},"ratio":{:.3f},"unit":"{}","spread":{:.3f}}})", json.empty() ? "" : ",", one.name, median(ours),
                        median(limit), ratio, one.unit, spread(ours));
    std::fflush(stdout);
  }
  if (as_json) fmt::print("{{\"cases\":[{}]}}\n", json);
  std::error_code ignored;
  std::filesystem::remove_all(std::filesystem::current_path() / "build" / "bench", ignored);
  return 0;
}
