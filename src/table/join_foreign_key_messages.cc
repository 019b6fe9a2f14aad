// The messages between the halves of a join by a foreign key:
//   subscription  KIND('+' subscribes, '-' ends) NUMBER PARTITION LEFT-KEY
//   answer        KIND('r' a row, 'd' its deletion, 'n' no row) NUMBER PARTITION TIME ROW
// Numbers have 8 bytes (join_state.h).
#include "mephisto/table/join_foreign_key.h"
#include "table/join_state.h"

namespace mephisto::detail {

namespace {

// The kind of a message of at least `numbers` numbers, or 0.
char take_kind(std::string_view& value, std::size_t numbers, std::string_view kinds) {
  if (value.size() < 1 + 8 * numbers || !kinds.contains(value.front())) return 0;
  const char kind = value.front();
  value.remove_prefix(1);
  return kind;
}

}  // namespace

std::string message_of(const KeySubscription& subscription) {
  std::string bytes{subscription.number ? '+' : '-'};
  put_number(bytes, subscription.number.value_or(0));
  put_number(bytes, subscription.left_partition);
  bytes += subscription.left_key;
  return bytes;
}

std::string message_of(const KeyAnswer& answer) {
  std::string bytes{answer.right ? 'r' : answer.right_timestamp_ms ? 'd' : 'n'};
  put_number(bytes, answer.number);
  put_number(bytes, answer.left_partition);
  put_number(bytes, answer.right_timestamp_ms.value_or(0));
  bytes += answer.right.value_or(std::string_view{});
  return bytes;
}

std::optional<KeySubscription> read_subscription(std::string_view key, std::string_view value) {
  const char kind = take_kind(value, 2, "+-");
  if (kind == 0) return std::nullopt;
  KeySubscription subscription{.foreign_key = key};
  const auto number = take_number(value);
  if (kind == '+') subscription.number = number;
  subscription.left_partition = static_cast<int>(take_number(value));
  subscription.left_key = value;
  return subscription;
}

std::optional<KeyAnswer> read_answer(std::string_view key, std::string_view value) {
  const char kind = take_kind(value, 3, "rdn");
  if (kind == 0) return std::nullopt;
  KeyAnswer answer{.left_key = key, .number = take_number(value)};
  answer.left_partition = static_cast<int>(take_number(value));
  const auto time = take_number(value);
  if (kind != 'n') answer.right_timestamp_ms = time;
  if (kind == 'r') answer.right = value;
  return answer;
}

}  // namespace mephisto::detail
