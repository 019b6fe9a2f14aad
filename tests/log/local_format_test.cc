// docs/local-log-format.md to the byte: the bytes on the disk of a log with known content, written down by hand.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <lmdb.h>
#include <unistd.h>

#include <cstring>
#include <fstream>

#include "local_process.h"

namespace mephisto::test {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;

// One bit at a time, as in the definition of the polynomial.
std::uint32_t crc(std::initializer_list<std::string_view> parts) {
  std::uint32_t value = ~0U;
  for (auto part : parts) {
    for (char c : part) {
      value ^= static_cast<unsigned char>(c);
      for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1) != 0 ? 0x82f63b78U : 0);
    }
  }
  return ~value;
}

template <class T>
std::string little(T value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

std::string operator""_b(const char* bytes, std::size_t size) { return {bytes, size}; }

std::pair<std::string, std::string> entry(const std::string& key, const std::string& value) {
  return {key, value + little(crc({key, value}))};
}

class LocalFormat : public LocalTest {
 protected:
  // All entries of the closed log.
  std::map<std::string, std::string> entries() {
    close_log();
    std::map<std::string, std::string> all;
    MDB_env* env = nullptr;
    MDB_txn* txn = nullptr;
    MDB_dbi dbi{};
    MDB_cursor* cursor = nullptr;
    EXPECT_EQ(mdb_env_create(&env), 0);
    EXPECT_EQ(mdb_env_open(env, dir().c_str(), MDB_RDONLY, 0600), 0);
    EXPECT_EQ(mdb_txn_begin(env, nullptr, MDB_RDONLY, &txn), 0);
    EXPECT_EQ(mdb_dbi_open(txn, nullptr, 0, &dbi), 0);
    EXPECT_EQ(mdb_cursor_open(txn, dbi, &cursor), 0);
    MDB_val k{};
    MDB_val v{};
    while (mdb_cursor_get(cursor, &k, &v, MDB_NEXT) == 0) {
      all[{static_cast<const char*>(k.mv_data), k.mv_size}] = {static_cast<const char*>(v.mv_data), v.mv_size};
    }
    mdb_cursor_close(cursor);
    mdb_txn_abort(txn);
    mdb_env_close(env);
    return all;
  }
  std::string content(const std::string& file) const {
    std::ifstream stream{dir() + "/" + file, std::ios::binary};
    return {std::istreambuf_iterator<char>{stream}, {}};
  }
};

TEST_F(LocalFormat, IsAsTheDocumentSays) {
  create("orders", {.partitions = 2, .retention = 90s});
  const auto created = must(log->topic("orders")).created.time_since_epoch().count();
  const Timestamp time{std::chrono::milliseconds{1'000'000}};
  append({"orders", 1}, {{"k", "v", time, {}}});
  append({"orders", 1},
         {{"key", "value", time, {{"h", "x"}, {"n", std::nullopt}}}, {std::nullopt, std::nullopt, time - 3ms, {}}});
  create("orders", {.partitions = 2, .retention = 90s, .compact = true});  // from now on
  std::int64_t generation = 0;
  std::int64_t commit_time = 0;
  {
    auto one = member("billing", "one", {"orders"});
    until({&one}, [&] { return one.all_read().size() == 3; });
    ASSERT_TRUE(await(one.member->commit({{one.id_of({"orders", 1}), 2, "0"}})));
    commit_time = committed("billing", {"orders", 1})->time.time_since_epoch().count();
    await(one.close());
    generation = must(log->groups()).at(0).generation.value();
  }

  auto batch = [](const std::string& key, std::uint32_t records, std::int64_t base_time, std::int64_t largest_time,
                  const std::string& payload) {
    const auto counted = little<std::uint32_t>(static_cast<std::uint32_t>(payload.size())) + "\x01\0\0\0"_b +
                         little(records) + little(records);
    const auto times = little(base_time) + little(largest_time);
    const auto content = counted + little(crc({key, counted, times})) + times + payload;
    return std::pair{key, little(crc({content})) + content + std::string(64, '\0')};
  };
  const auto one = "\0\0\0\x01"_b;
  const auto zero = "\0\0\0\0"_b;
  const auto first = "b"_b + one + one + std::string(8, '\0');
  const auto second = "b"_b + one + one + std::string(7, '\0') + '\x01';
  const auto first_batch = batch(first, 1, 1'000'000, 1'000'000, "\0\0\x02k\0\x01\0\0\0v"_b);
  const auto second_batch = batch(second, 2, 1'000'000, 1'000'000,
                                  "\0\0\x04key"
                                  "\x07\x02h\x02x\x02n\0"
                                  "\x05\0\0\0value"
                                  "\x01\x05\0\0\xff\xff\xff\xff"_b);
  const auto stored = static_cast<std::int64_t>(first_batch.second.size() + second_batch.second.size());
  EXPECT_THAT(
      entries(),
      ElementsAre(
          first_batch, second_batch,
          entry("cbilling\0"_b + one + one, fmt::format(R"({{"offset":2,"time_ms":{},"metadata":"0"}})", commit_time)),
          Pair("f", "1"),
          entry(
              "gbilling",
              fmt::format(
                  R"({{"generation":{},"members":[],"ownerships":[{{"topic":"orders","partition":0,"owner":"","epoch":1}},)"
                  R"({{"topic":"orders","partition":1,"owner":"","epoch":1}}],"former":[{{"client":"one","generation":{},"died":false}}]}})",
                  generation, generation)),
          entry("n", little<std::uint32_t>(2) + little<std::int32_t>(1)),
          entry("p"_b + one + zero, std::string(24, '\0')),
          entry("p"_b + one + one, little<std::int64_t>(0) + little<std::int64_t>(3) + little(stored)),
          entry(
              "torders",
              fmt::format(
                  R"({{"id":1,"partitions":2,"retention_ms":90000,"retention_bytes":null,"compact":true,"created_ms":{}}})",
                  created))));
  EXPECT_EQ(content("bell"), "!");
}

TEST_F(LocalFormat, OfLeasesIsAsTheDocumentSays) {
  create("orders");
  auto one = member("billing", "one", {"orders"});
  until({&one}, [&] { return one.owned("orders").size() == 1; });
  const auto id = must(log->groups()).at(0).members.at(0).id;
  std::uint64_t hash = 14695981039346656037ULL;
  for (char c : id) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211ULL;

  const auto bytes = content("leases");
  ASSERT_EQ(bytes.size(), 262'208U);
  auto number = [&](std::size_t at) {
    std::int64_t value = 0;
    std::memcpy(&value, bytes.data() + at, sizeof value);
    return value;
  };
  timespec monotonic{};
  clock_gettime(CLOCK_MONOTONIC, &monotonic);
  const auto now_ms = monotonic.tv_sec * 1000 + monotonic.tv_nsec / 1'000'000;
  EXPECT_GE(number(0), now_ms - 60'000);
  EXPECT_LE(number(0), now_ms);
  constexpr std::int64_t kMagic = 0x6c65617365735f31;
  EXPECT_EQ(static_cast<std::int32_t>(number(8)), getpid());
  const auto process = number(8) >> 32;
  EXPECT_EQ(process, 1);
  EXPECT_EQ(number(16), number(0) ^ process << 32 ^ getpid() ^ kMagic);
  EXPECT_EQ(number(64), 0) << "slot 0 is not used";
  const auto slot = static_cast<std::size_t>(64 * (2 + (hash | 1) % 4095));
  EXPECT_EQ(static_cast<std::uint64_t>(number(slot)), hash | 1);
  EXPECT_GE(number(slot + 8), now_ms - 2000);
  EXPECT_LE(number(slot + 8), now_ms);
  EXPECT_EQ(number(slot + 16), number(slot) ^ number(slot + 8) ^ kMagic);

  const int fd = ::open((dir() + "/leases").c_str(), O_RDWR | O_CLOEXEC);
  ASSERT_GE(fd, 0);
  auto is_locked = [fd](std::int64_t at) {
    struct flock lock{};
    lock.l_type = F_WRLCK;
    lock.l_whence = SEEK_SET;
    lock.l_start = at;
    lock.l_len = 1;
    EXPECT_EQ(fcntl(fd, F_OFD_GETLK, &lock), 0);
    return lock.l_type != F_UNLCK;
  };
  const auto at = static_cast<std::int64_t>(slot);
  EXPECT_TRUE(is_locked(at));
  EXPECT_FALSE(is_locked(at + 1));
  EXPECT_FALSE(is_locked(at + 64));
  await(one.close());
  EXPECT_FALSE(is_locked(at));
  ::close(fd);
}

}  // namespace
}  // namespace mephisto::test
