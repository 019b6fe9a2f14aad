// Records with every kind of field, and random values of them, for the tests that look for unforeseen cases.
#pragma once

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "mephisto/codec/json_read.h"

namespace mephisto::random_records {

enum class Side { buy, sell, hold };

struct Fill {
  static constexpr std::string_view kNamespace = "test.Fill";
  std::int64_t quantity = 0;
  double price = 0;
  bool operator==(const Fill&) const = default;
};

struct Cancel {
  static constexpr std::string_view kNamespace = "test.Cancel";
  std::string reason;
  std::optional<Fill> last;
  bool operator==(const Cancel&) const = default;
};

using Outcome = std::variant<Fill, Cancel>;

struct Order {
  static constexpr std::string_view kNamespace = "test.Order";
  std::string id;
  Side side = Side::buy;
  std::int8_t tiny = 0;
  std::uint64_t wide = 0;
  float ratio = 0;
  bool open = false;
  std::optional<double> limit;
  std::vector<Fill> fills;
  std::map<std::string, std::vector<std::optional<std::int32_t>>> levels;
  std::map<std::int16_t, Side> sides;
  std::map<Uuid, std::string> notes;
  Outcome outcome;
  std::vector<Outcome> history;
  Microtime created{};
  Timestamp updated{};
  std::chrono::year_month_day day{};
  Decimal total;
  Uuid uuid;
  Bytes raw;
  Json anything;
  None nothing;
  std::pair<std::int32_t, Side> best{};
  std::tuple<bool, std::optional<float>> odds{};
  std::array<std::int8_t, 2> corner{};
  std::chrono::microseconds wait{};
  std::string class_ = "common";
  bool operator==(const Order&) const = default;
  static constexpr FieldOptions kFields[] = {{.member = "class_", .name = "class"},
                                             {.member = "levels", .may_be_missing = true}};
};

inline std::string any_text(Random& random) {
  std::string text;
  for (auto left = random.below(12); left > 0; --left) {
    switch (random.below(6)) {
      case 0: text += static_cast<char>(random.below(0x20)); break;
      case 1: text += "\"\\/'\x7f"[random.below(5)]; break;
      case 2: text += "\xc3\xa9"; break;
      case 3: text += "\xe2\x80\xa8"; break;
      case 4: text += "\xf0\x9f\x98\x80"; break;
      default: text += static_cast<char>(' ' + random.below(95));
    }
  }
  return text;
}

inline double any_double(Random& random) {
  auto mantissa = static_cast<double>(static_cast<std::int64_t>(random.next()));
  return std::ldexp(mantissa, static_cast<int>(random.below(400)) - 263);
}

inline Fill any_fill(Random& random) {
  return {static_cast<std::int64_t>(random.next() >> random.below(64)), any_double(random)};
}

inline Outcome any_outcome(Random& random) {
  if (random.below(2) == 0) return any_fill(random);
  return Cancel{any_text(random), random.below(2) == 0 ? std::optional{any_fill(random)} : std::nullopt};
}

// Years 1 to 9999, which is the range of Python's datetime.
inline Microtime any_time(Random& random) {
  return Microtime{std::chrono::microseconds{static_cast<std::int64_t>(random.below(315'537'897'600'000'000)) -
                                             62'135'596'800'000'000}};
}

inline Json any_json(Random& random) {
  static const std::vector<std::string> kTexts{
      "null", "true", "[]", "{}", "[1,2.5,\"x\"]", R"({"a":{"b":[null,false]},"c":"\"\\"})", "1e-7", "\"\xc3\xa9\""};
  return {kTexts[random.below(kTexts.size())]};
}

inline Order any_order(Random& random) {
  Order order;
  order.id = any_text(random);
  order.side = static_cast<Side>(random.below(3));
  order.tiny = static_cast<std::int8_t>(random.next());
  order.wide = random.next() >> random.below(64);
  order.ratio = static_cast<float>(random.uniform() * 1e6);
  order.open = random.below(2) == 0;
  if (random.below(2) == 0) order.limit = any_double(random);
  for (auto left = random.below(4); left > 0; --left) order.fills.push_back(any_fill(random));
  for (auto left = random.below(4); left > 0; --left) {
    auto& list = order.levels[any_text(random)];
    for (auto item = random.below(3); item > 0; --item)
      list.push_back(random.below(3) == 0 ? std::nullopt : std::optional{static_cast<std::int32_t>(random.next())});
  }
  for (auto left = random.below(4); left > 0; --left)
    order.sides[static_cast<std::int16_t>(random.next())] = static_cast<Side>(random.below(3));
  for (auto left = random.below(3); left > 0; --left) order.notes[Uuid::random(random)] = any_text(random);
  order.outcome = any_outcome(random);
  for (auto left = random.below(4); left > 0; --left) order.history.push_back(any_outcome(random));
  order.created = any_time(random);
  order.updated = std::chrono::floor<std::chrono::milliseconds>(any_time(random));
  order.day = std::chrono::floor<std::chrono::days>(any_time(random));
  order.total = {std::to_string(static_cast<std::int64_t>(random.next())) + "." + std::to_string(random.below(1000))};
  order.uuid = Uuid::random(random);
  for (auto left = random.below(8); left > 0; --left) order.raw.data += static_cast<char>(random.next());
  order.anything = any_json(random);
  order.best = {static_cast<std::int32_t>(random.next()), static_cast<Side>(random.below(3))};
  order.odds = {random.below(2) == 0,
                random.below(2) == 0 ? std::optional{static_cast<float>(random.uniform())} : std::nullopt};
  order.corner = {static_cast<std::int8_t>(random.next()), static_cast<std::int8_t>(random.next())};
  order.wait = std::chrono::microseconds{static_cast<std::int64_t>(random.next() >> (20 + random.below(40)))};
  order.class_ = any_text(random);
  return order;
}

}  // namespace mephisto::random_records
