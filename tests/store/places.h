// What the tests of the stores share: a folder, the log's lines, and a run of changes that every process knows.
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "mephisto/logging.h"
#include "mephisto/store/store.h"

namespace mephisto::test {

using detail::Store;
using detail::StoreChange;
using detail::Stores;

inline constexpr std::size_t kBudget = 8 << 20;
inline const std::string kName = "shop-counts-changelog";

// A folder that is deleted with its owner.
class TempDir {
 public:
  TempDir() {
    auto pattern = (std::filesystem::temp_directory_path() / "mephisto-store-XXXXXX").string();
    if (mkdtemp(pattern.data()) == nullptr) throw Failure(ErrorKind::kUnavailable, "no folder like " + pattern);
    path_ = pattern;
  }
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

// The log's lines while it lives.
class LogLines {
 public:
  LogLines() { log::configure({.level = log::Level::kInfo, .file = (folder_ / "log").string()}); }
  ~LogLines() { log::configure({.level = log::Level::kCrit, .file = ""}); }
  std::string text() const {
    std::ifstream file{folder_ / "log"};
    return {std::istreambuf_iterator<char>{file}, {}};
  }

 private:
  TempDir folder_;
};

using Contents = std::map<std::string, std::string>;

inline Contents all_of(Store& store, const std::string& from = "", const std::string& to = "") {
  Contents all;
  store.scan(from, to, [&](std::string_view key, std::string_view value) {
    all.emplace_hint(all.end(), key, value);
    return true;
  });
  return all;
}

// The changes at a position of the changelog, the same in each process: sets and erases of 300 keys.
struct Changes {
  std::vector<std::pair<std::string, std::optional<std::string>>> all;

  explicit Changes(std::int64_t position, std::size_t value_bytes = 100) {
    std::mt19937_64 random{static_cast<std::uint64_t>(position) + 17};
    for (auto left = 1 + random() % 20; left > 0; --left) {
      auto key = fmt::format("key{:03}", random() % 300);
      if (random() % 5 == 0) {
        all.emplace_back(key, std::nullopt);
      } else {
        auto value = fmt::format("{}@{}:", key, position);
        while (value.size() < value_bytes) value += static_cast<char>(random());
        all.emplace_back(key, value);
      }
    }
  }
  void to(Contents& contents) const {
    for (const auto& [key, value] : all) {
      if (value) {
        contents[key] = *value;
      } else {
        contents.erase(key);
      }
    }
  }
  void to(Store& store, std::int64_t position) const {
    std::vector<StoreChange> changes;
    for (const auto& [key, value] : all) changes.push_back({key, value});
    store.apply(changes, position);
  }
};

inline Contents contents_at(std::int64_t position, std::size_t value_bytes = 100) {
  Contents contents;
  for (std::int64_t i = 0; i <= position; ++i) Changes{i, value_bytes}.to(contents);
  return contents;
}

inline ErrorKind kind_of(const std::function<void()>& call, std::string* message = nullptr) {
  try {
    call();
  } catch (const Failure& failure) {
    if (message != nullptr) *message = failure.what();
    return failure.kind();
  }
  ADD_FAILURE() << "it did not fail";
  return ErrorKind::kFatal;
}

// The stores that were set aside in the folder of `kName`.
inline std::vector<std::filesystem::path> set_aside(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> all;
  for (const auto& entry : std::filesystem::directory_iterator{folder / kName})
    if (entry.path().filename().string().starts_with("0.corrupt-")) all.push_back(entry.path());
  return all;
}

}  // namespace mephisto::test
