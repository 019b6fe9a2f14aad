// Appends, reads, and whole pipelines, compared with plain LMDB in C and with a loop without a framework.
#include <fmt/format.h>

#include <cstdlib>
#include <map>

#include "bench.h"
#include "mephisto/stream/outbox.h"

namespace mephisto::bench {
namespace {

// An agent on the given log: decode → change → encode → append.
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
        co_await detail::Outbox::current().tickets().flush();
        finished = now();
      }
    }
  });
  double start = 0;
  loop.run([](App& of, std::shared_ptr<Log> on, int parts, double& from, double& until) -> Task<void> {
    if (!co_await on->topic("in")) co_await fill(*on, "in", parts);
    Worker worker{of, on};
    from = now();
    co_await worker.start();
    while (until == 0) co_await sleep_for(std::chrono::milliseconds{1});
    co_await worker.stop();
    value_or_throw(co_await on->delete_topic(of.id() + "-out"));
  }(app, log, partitions, start, finished));
  return kRecords / (finished - start);
}

// Uses the same log in all runs.
double pipeline_on_kept(const std::string& url, int partitions) {
  static std::map<std::string, std::shared_ptr<Log>> kept;
  auto& log = kept[url];
  if (!log) log = open_log(url);
  return pipeline(url, partitions);
}

// The same work in a loop: views of the stored batches, decode, change, encode into a batch per partition, hand it
// over.
double memory_pipeline_limit() {
  static const std::vector<Buffer> stored = [] {
    std::vector<Buffer> batches;
    BatchBuilder builder;
    for (int i = 0; i < kRecords; ++i) {
      builder.add(key_of(i), texts()[static_cast<std::size_t>(i)], Timestamp{});
      if (builder.count() == kBatch) batches.push_back(builder.finish());
    }
    return batches;
  }();
  simdjson::ondemand::parser parser;
  BatchBuilder builder;
  Trade value;
  std::vector<Buffer> done;
  std::vector<RecordView> records;
  const auto start = now();
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

// Like the outbox: builds the next batch while one is being written.
double append_ours() {
  Loop loop;
  double seconds = 0;
  loop.run([](std::string url, double& took) -> Task<void> {
    auto log = open_log(url);
    TopicConfig config;
    config.partitions = 1;
    value_or_throw(co_await log->create_topic("in", config));
    auto producer = log->producer(*Loop::current());
    std::vector<OutBatch> building(1);
    std::vector<OutBatch> written(1);
    building[0].partition = written[0].partition = {"in", 0};
    const auto append = [](Producer& to, std::vector<OutBatch>& batches) -> Task<void> {
      value_or_throw(co_await to.append(batches));
    };
    const auto start = now();
    std::optional<Spawned> writing;
    for (int from = 0; from < kRecords; from += kBatch) {
      building[0].records.clear();
      for (int i = from; i < from + kBatch; ++i)
        building[0].records.add(std::nullopt, texts()[static_cast<std::size_t>(i)], Timestamp{});
      if (writing) co_await writing->finished();
      std::swap(building, written);
      writing = Loop::current()->spawn("append", append(*producer, written));
      co_await yield();
    }
    co_await writing->finished();
    took = now() - start;
  }("local://" + fresh_folder("append_ours"), seconds));
  return kRecords / seconds;
}

// The same texts, with `batch` texts per value, a length before each, and a durable commit per value.
double append_by_hand(const std::string& folder, int batch) {
  Lmdb lmdb{folder};
  std::string value;
  const auto start = now();
  for (int from = 0; from < kRecords; from += batch) {
    value.clear();
    for (int i = from; i < from + batch; ++i) {
      const auto& text = texts()[static_cast<std::size_t>(i)];
      const auto length = static_cast<std::uint32_t>(text.size());
      value.append(reinterpret_cast<const char*>(&length), 4);
      value += text;
    }
    lmdb.commit(static_cast<std::uint64_t>(from), value);
  }
  return kRecords / (now() - start);
}

double append_limit() { return append_by_hand(fresh_folder("append_limit"), kBatch); }

double read_ours() {
  static const std::string url = [] {
    auto made = "local://" + fresh_folder("read_ours");
    Loop loop;
    loop.run([](std::string where) -> Task<void> {
      auto log = open_log(where);
      co_await fill(*log, "in", 1);
    }(made));
    return made;
  }();
  Loop loop;
  double seconds = 0;
  loop.run([](std::string where, double& took) -> Task<void> {
    auto log = open_log(where);
    ReaderOptions options;
    options.partitions[{"in", 0}] = 0;
    auto consumer = log->reader(*Loop::current(), std::move(options));
    int left = kRecords;
    Trade value;
    const auto start = now();
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
  }(url, seconds));
  return kRecords / seconds;
}

// Walks the same values and decodes each record in place; the next record serves as simdjson's padding.
double read_limit() {
  static const std::string folder = [] {
    auto made = fresh_folder("read_limit");
    append_by_hand(made, kBatch);
    return made;
  }();
  Lmdb lmdb{folder};
  MDB_txn* txn = nullptr;
  MDB_cursor* cursor = nullptr;
  simdjson::ondemand::parser parser;
  Trade value;
  int records = 0;
  const auto start = now();
  mdb_txn_begin(lmdb.env, nullptr, MDB_RDONLY, &txn);
  mdb_cursor_open(txn, lmdb.dbi, &cursor);
  MDB_val k{};
  MDB_val v{};
  while (mdb_cursor_get(cursor, &k, &v, MDB_NEXT) == MDB_SUCCESS) {
    const char* at = static_cast<const char*>(v.mv_data);
    const char* const end = at + v.mv_size;
    while (at < end) {
      std::uint32_t length = 0;
      std::memcpy(&length, at, 4);
      decode_by_hand(parser, {at + 4, length}, value);
      at += 4 + length;
      ++records;
    }
  }
  const auto seconds = now() - start;
  mdb_cursor_close(cursor);
  mdb_txn_abort(txn);
  return records / seconds;
}

double local_pipeline() {
  static const std::string url = "local://" + fresh_folder("pipeline");
  return pipeline_on_kept(url, 8);
}

// A pipeline commits the records of one fetch at once, about a megabyte; so does this limit.
double large_append_limit() { return append_by_hand(fresh_folder("append_limit"), 8 * kBatch); }

}  // namespace

std::vector<Case> log_cases() {
  return {
      {"memory_pipeline", "records/s", "a loop by hand", [] { return pipeline_on_kept("memory://bench", 8); },
       memory_pipeline_limit, 0.8},
      {"local_append", "records/s", "plain LMDB, 1,000 a commit", append_ours, append_limit, 0.8},
      {"local_read", "records/s", "plain LMDB, simdjson by hand", read_ours, read_limit, 0.5},
      {"local_pipeline", "records/s", "plain LMDB append, 8,000 a commit", local_pipeline, large_append_limit, 0.6},
      {"partitions_512", "records/s", "8 partitions", [] { return pipeline_on_kept("memory://wide", 512); },
       [] { return pipeline_on_kept("memory://narrow", 8); }, 0.8},
  };
}

}  // namespace mephisto::bench
