// The versions of each key's value, for questions about a time. For the joins' own files only.
#pragma once

#include <optional>
#include <string>

#include "table/join_state.h"

namespace mephisto::detail {

// State: `v` KEY FALLING-TIME = version, with a first byte that says whether it is a deletion; `x` TIME KEY for each
// version that has not become old yet; and, if asked for, `a` KEY TIME for each version, to find the next one after a
// time.
class Versions {
 public:
  struct Version {
    std::int64_t timestamp_ms = 0;
    std::optional<std::string> value;  // no value: deleted
  };

  Versions(StateView& state, bool find_later) : state_(state), find_later_(find_later) {}

  void put(std::string_view key, std::int64_t timestamp_ms, std::optional<std::string_view> value);
  // The newest version at or before the time.
  std::optional<Version> at_or_before(std::string_view key, std::int64_t timestamp_ms);
  // The times of the versions next to a time, within [from, to].
  std::optional<std::int64_t> newest_time(std::string_view key, std::int64_t from, std::int64_t to);
  std::optional<std::int64_t> oldest_time(std::string_view key, std::int64_t from, std::int64_t to);
  std::optional<Version> newest(std::string_view key) { return at_or_before(key, kEnd); }

  // `first` is no later than any version. Forgets what no question about a time >= `time` can find: versions at or
  // before it that a newer one at or before it replaces. Gives the time of the first version after it, or kEnd.
  std::int64_t forget_replaced(std::int64_t first, std::int64_t time);
  // Forgets all versions up to `last`. Gives the time of the first one left, or kEnd.
  std::int64_t forget_until(std::int64_t first, std::int64_t last);

 private:
  template <class Forget>
  std::int64_t forget_while(std::int64_t first, std::int64_t last, Forget forget);
  void erase(std::string_view key, std::int64_t timestamp_ms);

  StateView& state_;
  bool find_later_;
};

}  // namespace mephisto::detail
