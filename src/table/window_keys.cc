#include "table/window_keys.h"

namespace mephisto::detail {

std::string key_prefix(char kind, std::string_view key) {
  std::string out;
  out.reserve(key.size() + 19);
  out += kind;
  put_key(out, key);
  return out;
}

std::string window_key(std::string_view key, std::int64_t id) {
  std::string out;
  write_window_key(out, key, id);
  return out;
}

void write_window_key(std::string& out, std::string_view key, std::int64_t id) {
  out = 'w';
  put_key(out, key);
  put_number(out, id);
}

bool is_window_key(std::string_view bytes) { return bytes.starts_with('w'); }

std::optional<std::string> read_window_key(std::string_view bytes) {
  if (!is_window_key(bytes)) return std::nullopt;
  bytes.remove_prefix(1);
  return take_key(bytes);
}

std::string value_key(std::string_view key, std::int64_t time, std::int64_t number) {
  auto out = key_prefix('v', key);
  put_number(out, time);
  put_number(out, number);
  return out;
}

std::string timed_key(char kind, std::int64_t time, std::string_view key, std::int64_t id, char action) {
  std::string out;
  out.reserve(key.size() + 20);
  out += kind;
  put_number(out, time);
  put_key(out, key);
  put_number(out, id);
  return out += action;
}

TimedEntry read_timed_key(std::string_view bytes) {
  TimedEntry entry;
  bytes.remove_prefix(1);
  entry.time = take_number(bytes);
  entry.key = take_key(bytes);
  entry.id = read_number(bytes);
  entry.action = bytes.back();
  return entry;
}

}  // namespace mephisto::detail
