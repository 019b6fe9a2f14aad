// State: single keys in the stores of tables, compared with plain RocksDB and std::unordered_map.
#include <fmt/format.h>

#include <cstdlib>
#include <fstream>
#include <memory>
#include <random>
#include <unordered_map>

#include "bench.h"
#include "mephisto/store/store.h"
#include "part.h"
#include "plain_rocks.h"

namespace mephisto::bench {
namespace {

constexpr int kInMemory = kKeys;
constexpr int kOnDisk = 10'000'000;
constexpr int kUpdates = 300'000;

class Ours {
 public:
  explicit Ours(const std::string& url, const std::string& folder)
      : stores_(detail::open_stores(url, folder, kBudget)), store_(stores_->open("bench-changelog", 0)) {}
  bool has(const Key& key) { return store_->get(key).has_value(); }
  // `keys` and `values` are of the same length.
  void write(const std::vector<Key>& keys, const std::vector<Value>& values) {
    changes_.clear();
    for (std::size_t i = 0; i < keys.size(); ++i) changes_.push_back({keys[i], values[i].bytes});
    store_->apply(changes_, store_->position() + 1);
  }

 private:
  std::unique_ptr<detail::Stores> stores_;
  std::unique_ptr<detail::Store> store_;
  std::vector<detail::StoreChange> changes_;
};

struct HashMap {
  bool has(const Key& key) { return map.contains(std::string{std::string_view{key}}); }
  void write(const std::vector<Key>& keys, const std::vector<Value>& values) {
    for (std::size_t i = 0; i < keys.size(); ++i) map[std::string{std::string_view{keys[i]}}] = values[i].bytes;
  }
  std::unordered_map<std::string, std::string> map;
};

template <class On>
void load(On& on, int count) {
  std::vector<Key> keys;
  std::vector<Value> values;
  for (int i = 0; i < count; ++i) {
    keys.emplace_back(i);
    values.emplace_back(i);
    if (keys.size() < kBatch) continue;
    on.write(keys, values);
    keys.clear();
    values.clear();
  }
}

// Reads random keys and, if `update`, writes them, kBatch at once. Returns keys per second.
template <class On>
double run(On& on, int keys_there, bool update) {
  static std::mt19937_64 random{3};
  std::vector<Key> keys;
  std::vector<Value> values;
  const auto start = now();
  for (int i = 0; i < kUpdates; i += kBatch) {
    keys.clear();
    values.clear();
    for (int j = 0; j < kBatch; ++j) {
      keys.emplace_back(random() % static_cast<unsigned>(keys_there));
      if (!on.has(keys.back())) std::abort();
      if (update) values.emplace_back(random());
    }
    if (update) on.write(keys, values);
  }
  return kUpdates / (now() - start);
}

Ours& in_memory() {
  static auto ours = [] {
    auto made = std::make_unique<Ours>("memory://", "");
    load(*made, kInMemory);
    return made;
  }();
  return *ours;
}

HashMap& hash_map() {
  static auto map = [] {
    HashMap made;
    load(made, kInMemory);
    return made;
  }();
  return map;
}

Ours& on_disk() {
  static auto ours = [] {
    auto made = std::make_unique<Ours>("rocksdb://", fresh_folder("store_ours"));
    load(*made, kOnDisk);
    return made;
  }();
  return *ours;
}

PlainRocks& plain() {
  static auto plain = [] {
    auto made = std::make_unique<PlainRocks>(fresh_folder("store_plain"));
    load(*made, kOnDisk);
    return made;
  }();
  return *plain;
}

}  // namespace

std::vector<Case> store_cases() {
  return {
      {"store_get", "keys/s", "std::unordered_map, 10,000 keys", [] { return run(in_memory(), kInMemory, false); },
       [] { return run(hash_map(), kInMemory, false); }, 0.5},
      {"store_update", "keys/s", "std::unordered_map, 10,000 keys", [] { return run(in_memory(), kInMemory, true); },
       [] { return run(hash_map(), kInMemory, true); }, 0.5},
      {"store_get_rocksdb", "keys/s", "plain RocksDB, 10 M keys", [] { return run(on_disk(), kOnDisk, false); },
       [] { return run(plain(), kOnDisk, false); }, 0.8},
      {"store_update_rocksdb", "keys/s", "plain RocksDB, 10 M keys", [] { return run(on_disk(), kOnDisk, true); },
       [] { return run(plain(), kOnDisk, true); }, 0.8},
      {"store_memory", "MB", "its budget and 48 MB, 10 M keys",
       [] { return figures_of("mephisto_bench", {"--part", "store"}).at(0); },
       [] { return static_cast<double>(kBudget >> 20) + 48; }, 1, true},
  };
}

int run_store_part() {
  Ours ours{"rocksdb://", fresh_folder("store_memory")};
  load(ours, kOnDisk);
  run(ours, kOnDisk, true);
  std::ifstream status{"/proc/self/status"};
  for (std::string word; status >> word;) {
    double kilobytes = 0;
    if (word == "VmHWM:" && status >> kilobytes) fmt::print("{}\n", kilobytes / 1024);
  }
  return 0;
}

}  // namespace mephisto::bench
