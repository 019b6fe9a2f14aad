// The keys of an operator's state, in ordered bytes: entries are in the order of keys, whatever bytes are in them.
//
//   p                          progress
//   w KEY ID                   a window; ID is its start, of a session its end, of a count window 0
//   v KEY TIME NUMBER          sliding: the value of a record, with the number of its arrival
//   t WHEN KEY ID ACTION       what happens when stream time reaches WHEN (Timer in window_run.h)
//   u DUE KEY ID ACTION        Emit::kEvery: a result that waits for DUE
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "mephisto/table/ordered_bytes.h"

namespace mephisto::detail {

inline constexpr std::string_view kProgressKey = "p";

// KIND KEY: all entries of a key begin with it, and no others.
std::string key_prefix(char kind, std::string_view key);
std::string window_key(std::string_view key, std::int64_t id);
void write_window_key(std::string& out, std::string_view key, std::int64_t id);  // the same without an allocation
std::optional<std::string> read_window_key(std::string_view bytes);              // KEY; none for another entry
bool is_window_key(std::string_view bytes);
std::string value_key(std::string_view key, std::int64_t time, std::int64_t number);

// A `t` or `u` entry.
struct TimedEntry {
  std::int64_t time = 0;
  std::string key;
  std::int64_t id = 0;
  char action = 0;
};
std::string timed_key(char kind, std::int64_t time, std::string_view key, std::int64_t id, char action);
TimedEntry read_timed_key(std::string_view bytes);

}  // namespace mephisto::detail
