// JSON into records with every kind of field. An accepted text stays the same when it is written and read again. A
// record that held another value before reads like a new one. The bytes after the text make no difference. The reader
// of the usual shape accepts only texts that the complete reader accepts, with the same result.
#include "codec/damage.h"
#include "codec/records.h"
#include "fuzz.h"
#include "horton/records.h"
#include "mephisto/codec.h"

namespace mephisto::fuzz {
namespace {

using random_records::Fill;
using random_records::Order;
using random_records::Side;

// The kinds of fields that have a usual shape.
struct Trade {
  std::string id;
  std::int32_t count = 0;
  std::uint64_t wide = 0;
  double price = 0;
  float ratio = 0;
  bool open = false;
  std::optional<std::int64_t> limit;
  std::vector<Fill> fills;
  std::vector<std::optional<std::string>> notes;
  Side side = Side::buy;
  Decimal total;
  Uuid uuid;
  Microtime created{};
  std::chrono::year_month_day day{};
  std::chrono::milliseconds wait{};
  std::string class_;
  static constexpr FieldOptions kFields[] = {{.member = "class_", .name = "class"}};
};

// Empty if writing is refused: NaN can be read but not written.
std::optional<std::string> written(const auto& record) {
  try {
    return to_json(record, Dialect::kStdlib);
  } catch (const Failure&) {
    return std::nullopt;
  }
}

template <class T>
void read_all_ways(std::string_view input, T& used) {
  T fresh{};
  const tests::Exact text{input};
  const auto read = json::read_any_shape(text.view(), fresh);
  const auto again = Codec::json().load(text.view(), used);
  // The bytes after the text could belong to it.
  T other{};
  const tests::Exact elsewhere{input, input.ends_with('}') || input.ends_with(']') ? input.back() : '"'};
  const auto there = Codec::json().load(elsewhere.view(), other);
  promise(read.has_value() == again.has_value() && read.has_value() == there.has_value(),
          "a text is always accepted or always refused");
  if (!read) {
    promise(!read.error().message.empty() && read.error().kind == ErrorKind::kDecode, "a refusal says why");
    promise(read.error().message == again.error().message, "the error is the same with a used record");
    return;
  }
  const auto first = written(fresh);
  promise(first == written(used), "a used record reads like a new one");
  promise(first == written(other), "the bytes after a text make no difference");
  if (!first) return;
  auto back = from_json<T>(*first);
  promise(back.has_value(), "what is written can be read");
  promise(written(*back) == first, "what is written reads the same");
}

Trade any_trade(Random& random) {
  auto order = random_records::any_order(random);
  return {order.id,
          order.tiny,
          order.wide,
          random.uniform() * 1e4,
          order.ratio,
          order.open,
          static_cast<std::int64_t>(random.next()),
          order.fills,
          {std::nullopt, order.id},
          order.side,
          order.total,
          order.uuid,
          order.created,
          order.day,
          std::chrono::floor<std::chrono::milliseconds>(order.wait),
          order.class_};
}

}  // namespace

std::vector<std::string> seeds() {
  std::vector<std::string> texts{R"({"symbol":"AAPL","exchange":"NYSE"})"};
  Random random{1};
  for (auto dialect : {Dialect::kOrjson, Dialect::kStdlib}) {
    for (int i = 0; i < 4; ++i) {
      texts.push_back(to_json(random_records::any_order(random), dialect));
      texts.push_back(to_json(any_trade(random), dialect));
    }
  }
  return texts;
}

void take(std::string_view input) {
  static Order order;
  static Trade trade;
  static horton::CollectSecurityOverview overview;
  static Json any;
  read_all_ways(input, order);
  read_all_ways(input, trade);
  read_all_ways(input, overview);
  read_all_ways(input, any);
}

}  // namespace mephisto::fuzz
