// Names and counts of fields and enumerators at compile time.
#include <gtest/gtest.h>

#include "mephisto/codec/json_read.h"

namespace mephisto {

struct OutsideAnonymous {
  int visible;
};

namespace {

enum class Listed { kNear = 1, kFar = 100'000, kLeftOut = 2 };

}  // namespace

template <>
inline constexpr auto enumerators<Listed> = std::array{Listed::kNear, Listed::kFar};

namespace {

struct Inner {
  int a = 0;
  std::string b;
};

struct Order {
  std::string id;
  double price_per_unit = 0;
  std::optional<int> quantity;
  std::vector<Inner> parts;
  Inner main_part;
  std::map<std::string, Inner> by_name;
  std::variant<None, Inner> other;
  bool paid = false;
  Timestamp created{};
  Decimal total;
  Uuid uuid;
  Bytes raw;
  Json anything;
  std::array<int, 3> triple{};
  static constexpr std::string_view kNamespace = "shop.Order";
  enum State { kOpen, kPaid };
};

struct Empty {};

struct Trailing_ {
  int value_ = 0;
  int X2 = 0;
};

struct Widest {
  int f00 = 0, f01 = 0, f02 = 0, f03 = 0, f04 = 0, f05 = 0, f06 = 0, f07 = 0, f08 = 0, f09 = 0, f10 = 0, f11 = 0,
      f12 = 0, f13 = 0, f14 = 0, f15 = 0;
  int f16 = 0, f17 = 0, f18 = 0, f19 = 0, f20 = 0, f21 = 0, f22 = 0, f23 = 0, f24 = 0, f25 = 0, f26 = 0, f27 = 0,
      f28 = 0, f29 = 0, f30 = 0, f31 = 0;
  int f32 = 0, f33 = 0, f34 = 0, f35 = 0, f36 = 0, f37 = 0, f38 = 0, f39 = 0, f40 = 0, f41 = 0, f42 = 0, f43 = 0,
      f44 = 0, f45 = 0, f46 = 0, f47 = 0;
  int f48 = 0, f49 = 0, f50 = 0, f51 = 0, f52 = 0, f53 = 0, f54 = 0, f55 = 0, f56 = 0, f57 = 0, f58 = 0, f59 = 0,
      f60 = 0, f61 = 0, f62 = 0, f63 = 0;
};

enum class Signal { kLow = -3, kNone = 0, kHigh = 5, kLast = 127 };
enum class Small : std::uint8_t { a, b };
enum class Beyond { kNear = 1, kFar = 1024 };
enum class Wide { kLowest = -128, kBelow = -1, kZero, kNotFound = 404, kHighest = 1023 };
enum Color { kRed, kGreen = 5 };
enum Signed { kBelow = -5, kAbove = 5 };
enum class Flag : bool { kOff, kOn };
enum class Letter : char { kA = 'a' };
enum class Byte : std::uint8_t { kLeast, kMost = 255 };
enum class Huge : std::uint64_t { kZero, kLargest = ~std::uint64_t{0} };
template <class A, class B>
struct Pair {
  enum class Kind { kFirst, kSecond };
};

template <class T>
struct Box {
  T value;
};

class NotAnAggregate {
 public:
  explicit NotAnAggregate(int value) : value_(value) {}
  int value() const { return value_; }

 private:
  int value_;
};

TEST(Reflect, FieldsHaveTheirNamesInOrder) {
  constexpr auto names = reflect::field_names<Order>();
  std::vector<std::string_view> expected{"id",       "price_per_unit", "quantity", "parts", "main_part", "by_name",
                                         "other",    "paid",           "created",  "total", "uuid",      "raw",
                                         "anything", "triple"};
  EXPECT_EQ((std::vector<std::string_view>{names.begin(), names.end()}), expected);
}

TEST(Reflect, StaticMembersAreNoFields) { EXPECT_EQ(reflect::field_count<Order>, 14U); }
TEST(Reflect, ARecordMayHaveNoFields) { EXPECT_EQ(reflect::field_count<Empty>, 0U); }
TEST(Reflect, ARecordMayHave64Fields) { EXPECT_EQ(reflect::field_count<Widest>, 64U); }
TEST(Reflect, TheLastOf64FieldsHasItsName) { EXPECT_EQ((reflect::field_name<Widest, 63>()), "f63"); }
TEST(Reflect, UnderscoresCapitalsAndDigitsBelongToNames) { EXPECT_EQ((reflect::field_name<Trailing_, 0>()), "value_"); }
TEST(Reflect, NamesOfTypesOutsideAnonymousNamespacesWorkToo) {
  EXPECT_EQ((reflect::field_name<OutsideAnonymous, 0>()), "visible");
}

TEST(Reflect, FieldTypesAreThoseDeclared) {
  EXPECT_TRUE((std::is_same_v<reflect::field_type<Order, 0>, std::string>));
  EXPECT_TRUE((std::is_same_v<reflect::field_type<Order, 2>, std::optional<int>>));
  EXPECT_TRUE((std::is_same_v<reflect::field_type<Order, 4>, Inner>));
}

TEST(Reflect, PointersToFieldsPointIntoTheRecord) {
  Inner inner{7, "x"};
  auto [a, b] = reflect::field_pointers(inner);
  *a = 8;
  EXPECT_EQ(inner.a, 8);
  EXPECT_EQ(b, &inner.b);
}

TEST(Reflect, VisitingGoesThroughEveryFieldOnce) {
  std::vector<std::size_t> visited;
  reflect::for_each_index<Inner>([&](auto index) { visited.push_back(index()); });
  EXPECT_EQ(visited, (std::vector<std::size_t>{0, 1}));
}

TEST(Reflect, ARecordOf64FieldsRoundTrips) {
  Widest widest;
  widest.f00 = 1;
  widest.f63 = 64;
  auto read = from_json<Widest>(to_json(widest));
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->f00 + read->f63, 65);
}

TEST(Reflect, TheLastOf64FieldsMayBeMissingToo) {
  auto text = to_json(Widest{});
  text.replace(text.find(R"(,"f63":0)"), 8, "");
  EXPECT_TRUE(from_json<Widest>(text));
}

TEST(Reflect, EnumeratorsHaveTheirNames) { EXPECT_EQ(reflect::enum_name(Signal::kHigh), "kHigh"); }
TEST(Reflect, NegativeEnumeratorsHaveTheirNames) { EXPECT_EQ(reflect::enum_name(Signal::kLow), "kLow"); }
TEST(Reflect, EnumeratorsFromMinus128To1023HaveTheirNames) {
  EXPECT_EQ(reflect::enum_name(Wide::kLowest), "kLowest");
  EXPECT_EQ(reflect::enum_name(Wide::kHighest), "kHighest");
  EXPECT_EQ(reflect::enum_name(Wide::kNotFound), "kNotFound");
  EXPECT_EQ(enumerators<Wide>.size(), 5U);
}
TEST(Reflect, EnumeratorsBeyondAreThoseThatTheAppLists) {
  EXPECT_EQ(reflect::enum_name(Listed::kNear), "kNear");
  EXPECT_EQ(reflect::enum_name(Listed::kFar), "kFar");
  EXPECT_EQ(reflect::enum_name(Listed::kLeftOut), "");
}
TEST(Reflect, PlainEnumsHaveNames) {
  EXPECT_EQ(reflect::enum_name(kGreen), "kGreen");
  EXPECT_EQ(reflect::enum_name(static_cast<Color>(3)), "");
  EXPECT_EQ(reflect::enum_name(Order::kPaid), "kPaid");
  EXPECT_EQ(reflect::enum_name(kBelow), "kBelow");
}
TEST(Reflect, EveryUnderlyingTypeIsFine) {
  EXPECT_EQ(reflect::enum_name(Flag::kOn), "kOn");
  EXPECT_EQ(enumerators<Flag>.size(), 2U);
  EXPECT_EQ(reflect::enum_name(Letter::kA), "kA");
  EXPECT_EQ(reflect::enum_name(Byte::kMost), "kMost");
  EXPECT_EQ(reflect::enum_name(Huge::kZero), "kZero");
}
TEST(Reflect, EnumeratorsOfTemplatesHaveTheirNames) {
  EXPECT_EQ(reflect::enum_name(Pair<int, char>::Kind::kSecond), "kSecond");
}
TEST(Reflect, UnsignedEnumsStartAtZero) { EXPECT_EQ(reflect::enum_name(Small::a), "a"); }
TEST(Reflect, AValueWithoutAnEnumeratorHasNoName) { EXPECT_EQ(reflect::enum_name(static_cast<Signal>(4)), ""); }
TEST(Reflect, AnEnumeratorOutOfRangeHasNoName) { EXPECT_EQ(reflect::enum_name(Beyond::kFar), ""); }

TEST(Reflect, ANameGivesItsEnumerator) {
  auto signal = Signal::kNone;
  EXPECT_TRUE(reflect::enum_value("kLow", signal));
  EXPECT_EQ(signal, Signal::kLow);
}

TEST(Reflect, AnUnknownNameGivesNoEnumerator) {
  auto signal = Signal::kHigh;
  EXPECT_FALSE(reflect::enum_value("klow", signal));
  EXPECT_EQ(signal, Signal::kHigh);
}

TEST(Reflect, TheEmptyNameIsNoEnumerator) {
  auto signal = Signal::kHigh;
  EXPECT_FALSE(reflect::enum_value("", signal));
}

TEST(Reflect, TypesHaveTheirPlainName) { EXPECT_EQ(reflect::type_name<OutsideAnonymous>(), "OutsideAnonymous"); }
TEST(Reflect, TypesInAnonymousNamespacesHaveTheirPlainName) { EXPECT_EQ(reflect::type_name<Order>(), "Order"); }
TEST(Reflect, BuiltInTypesHaveTheirName) { EXPECT_EQ(reflect::type_name<int>(), "int"); }
TEST(Reflect, TemplatesKeepTheirArguments) {
  EXPECT_NE(reflect::type_name<Box<int>>().find("Box<int>"), std::string_view::npos);
}

TEST(Reflect, PlainStructuresAreRecords) {
  EXPECT_TRUE(Record<Order>);
  EXPECT_TRUE(Record<Empty>);
}

TEST(Reflect, SingleValuesAreNoRecords) {
  EXPECT_FALSE(Record<Uuid>);
  EXPECT_FALSE(Record<Json>);
  EXPECT_FALSE(Record<Decimal>);
  EXPECT_FALSE(Record<Bytes>);
  EXPECT_FALSE(Record<None>);
}

TEST(Reflect, ClassesWithConstructorsAndContainersAreNoRecords) {
  EXPECT_FALSE(Record<NotAnAggregate>);
  EXPECT_FALSE(Record<std::string>);
  EXPECT_FALSE((Record<std::array<int, 2>>));
}

TEST(Reflect, ANamespaceIsFoundByItsName) {
  EXPECT_TRUE(HasNamespace<Order>);
  EXPECT_FALSE(HasNamespace<Inner>);
}

}  // namespace
}  // namespace mephisto
