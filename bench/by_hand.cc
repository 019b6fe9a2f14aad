#include <fmt/format.h>

#include <cstdlib>

#include "bench.h"

namespace mephisto::bench {
namespace {

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

}  // namespace

char* encode_by_hand(char* at, const Trade& value) {
  at = put_text(put(at, "{\"symbol\":"), value.symbol);
  at = put_double(put(at, ",\"price\":"), value.price);
  at = std::to_chars(put(at, ",\"volume\":"), at + 64, value.volume).ptr;
  at = std::to_chars(put(at, ",\"time\":"), at + 64, value.time).ptr;
  at = put_text(put(at, ",\"venue\":"), value.venue);
  *at++ = '}';
  return at;
}

const std::vector<std::string>& texts() {
  static const std::vector<std::string> made = [] {
    std::vector<std::string> all;
    for (int i = 0; i < kRecords; ++i) all.push_back(to_json(trade(i)));
    return all;
  }();
  return made;
}

std::string fresh_folder(const std::string& name) {
  auto folder = std::filesystem::current_path() / "build" / "bench" / name;
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  return folder.string();
}

Task<void> fill(Log& log, const std::string& topic, int partitions) {
  TopicConfig config;
  config.partitions = partitions;
  value_or_throw(co_await log.create_topic(topic, config));
  auto producer = log.producer(*Loop::current());
  for (int from = 0; from < kRecords; from += kBatch * partitions) {
    std::vector<OutBatch> batches;
    for (int p = 0; p < partitions; ++p) {
      OutBatch batch{{topic, p}, {}};
      for (int i = from + p; i < std::min(from + kBatch * partitions, kRecords); i += partitions) {
        batch.records.add(key_of(i), texts()[static_cast<std::size_t>(i)], Timestamp{});
      }
      if (!batch.records.empty()) batches.push_back(std::move(batch));
    }
    value_or_throw(co_await producer->append(batches));
  }
}

Lmdb::Lmdb(const std::string& folder) {
  mdb_env_create(&env);
  mdb_env_set_mapsize(env, std::size_t{1} << 30);
  MDB_txn* txn = nullptr;
  if (mdb_env_open(env, folder.c_str(), MDB_NOTLS, 0600) != MDB_SUCCESS ||
      mdb_txn_begin(env, nullptr, 0, &txn) != MDB_SUCCESS || mdb_dbi_open(txn, nullptr, 0, &dbi) != MDB_SUCCESS ||
      mdb_txn_commit(txn) != MDB_SUCCESS) {
    std::abort();
  }
}

void Lmdb::commit(std::uint64_t key, std::string_view value) {
  MDB_txn* txn = nullptr;
  const auto big_endian = __builtin_bswap64(key);
  MDB_val k{8, const_cast<std::uint64_t*>(&big_endian)};
  MDB_val v{value.size(), const_cast<char*>(value.data())};
  if (mdb_txn_begin(env, nullptr, 0, &txn) != MDB_SUCCESS || mdb_put(txn, dbi, &k, &v, MDB_APPEND) != MDB_SUCCESS ||
      mdb_txn_commit(txn) != MDB_SUCCESS)
    std::abort();
}

}  // namespace mephisto::bench
