// Schema changes: fields that may be missing, fields with another name on the wire, unknown fields.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "damage.h"
#include "mephisto/codec/json_read.h"

namespace mephisto {

// A structure that another program defines.
struct Theirs {
  std::string id;
  int amount = 0;
};

template <>
inline constexpr auto field_options<Theirs> =
    std::to_array<FieldOptions>({{.member = "id", .name = "order-id"}, {.member = "amount", .name = "größe"}});

namespace {

using testing::ElementsAre;
using testing::IsEmpty;

template <class T>
std::vector<std::string> required() {
  std::vector<std::string> names;
  for (std::size_t i = 0; i < reflect::field_count<T>; ++i) {
    if (!(json::shape_of<T>().may_be_missing() >> i & 1)) names.emplace_back(reflect::wire_names<T>()[i]);
  }
  return names;
}

template <class T>
T read(std::string_view text) {
  auto value = from_json<T>(text);
  EXPECT_TRUE(value) << text << ": " << value.error().message;
  return value ? *value : T{};
}

enum class Side { buy, sell };

struct Bare {
  std::string text;
  int number;
  double real;
  bool flag;
  Side side;
  std::vector<int> list;
  std::map<std::string, int> map;
  std::array<int, 2> pair;
  std::chrono::seconds wait;
  std::chrono::year_month_day day;
  Timestamp time;
  Decimal decimal;
  Uuid uuid;
  Json json;
  Theirs inner;
};

struct Defaulted {
  std::string text = "USD";
  int number = 0;
  int other{};
  double real = 1.5;
  bool flag = false;
  Side side = Side::buy;
  std::vector<int> list = {1};
  std::map<std::string, int> map{{"a", 1}};
  std::array<int, 2> pair{};
  std::chrono::seconds wait{0};
  std::chrono::year_month_day day = std::chrono::year{2026} / 11 / 29;
  Timestamp time{std::chrono::milliseconds{1}};
  Decimal decimal{"1"};
  Uuid uuid{{1}};
  Json json{"{}"};
  Theirs inner{.id = "x"};
  std::optional<int> none;
  std::optional<int> some = 7;
};

TEST(JsonMissing, FieldsWithoutAnInitialiserAreRequired) {
  EXPECT_THAT(required<Bare>(), ElementsAre("text", "number", "real", "flag", "side", "list", "map", "pair", "wait",
                                            "day", "time", "decimal", "uuid", "json", "inner"));
}
TEST(JsonMissing, FieldsWithAnInitialiserMayBeMissing) { EXPECT_THAT(required<Defaulted>(), IsEmpty()); }

TEST(JsonMissing, WhatIsMissingHasItsInitialValue) {
  const auto value = read<Defaulted>("{}");
  EXPECT_EQ(to_json(value), to_json(Defaulted{}));
  EXPECT_EQ(value.text, "USD");
  EXPECT_EQ(value.some, 7);
}

TEST(JsonMissing, LeavesNothingOfWhatTheRecordHeld) {
  Defaulted used;
  used.text = "EUR";
  used.number = 5;
  used.list = {1, 2, 3};
  used.some = 8;
  ASSERT_TRUE(json::read_padded(json::padded_copy(R"({"other":3})"), used));
  EXPECT_EQ(used.text, "USD");
  EXPECT_EQ(used.number, 0);
  EXPECT_THAT(used.list, ElementsAre(1));
  EXPECT_EQ(used.some, 7);
}

TEST(JsonMissing, ANullIsNoMissingField) { EXPECT_FALSE(from_json<Defaulted>(R"({"number":null})")); }

struct Mixed {
  std::string id;
  int first = 1;
  double price;
  int last = 2;
};

TEST(JsonMissing, TheFirstRequiredFieldIsNamed) {
  EXPECT_EQ(from_json<Mixed>(R"({"id":"a"})").error().message,
            "price: the field is missing, and it has no initial value to take instead");
  EXPECT_EQ(read<Mixed>(R"({"price":1,"id":"a"})").last, 2);
}

// The record as it was, is, and will be. Each version reads what each other version wrote.
struct Old {
  std::string id;
};
struct New {
  std::string id;
  int quantity = 1;
  std::string currency = "USD";
};

TEST(JsonMissing, OldAndNewVersionsReadEachOther) {
  EXPECT_EQ(to_json(read<New>(to_json(Old{"a"}))), R"({"id":"a","quantity":1,"currency":"USD"})");
  EXPECT_EQ(read<Old>(to_json(New{"a", 2, "EUR"})).id, "a");
}

int next_number() {
  static int number = 0;
  return ++number;
}
struct Numbered {
  std::string id;
  int number = next_number();
  std::uint64_t other = static_cast<std::uint64_t>(next_number()) * 0x0101010101010101;
};

TEST(JsonMissing, AnInitialiserIsEvaluatedForEachRecord) {
  EXPECT_THAT(required<Numbered>(), ElementsAre("id"));
  const auto first = read<Numbered>(R"({"id":"a"})").number;
  EXPECT_GT(read<Numbered>(R"({"id":"a"})").number, first);
}

struct Padded {
  bool flag;
  std::int64_t number = 0;
  struct Pair {
    bool a;
    std::int64_t b;
  };
  Pair bare;
  Pair made{};
  std::chrono::year_month_day day{};
};

TEST(JsonMissing, PaddingMakesNoDifference) { EXPECT_THAT(required<Padded>(), ElementsAre("flag", "bare")); }

// C++ does not distinguish these from fields without an initialiser.
struct Alike {
  std::string text = "";
  std::vector<int> list{};
  Timestamp time{};
};
struct Said {
  std::string text = "";
  std::vector<int> list{};
  static constexpr FieldOptions kFields[] = {{.member = "list", .may_be_missing = true}};
};

TEST(JsonMissing, AnInitialiserThatIsTheTypesOwnDefaultDoesNotCount) {
  EXPECT_THAT(required<Alike>(), ElementsAre("text", "list", "time"));
}
TEST(JsonMissing, TheRecordSaysWhatElseMayBeMissing) { EXPECT_THAT(required<Said>(), ElementsAre("text")); }

struct Renamed {
  static constexpr std::string_view kNamespace = "test.Renamed";
  std::string class_;
  int order_id = 0;
  std::optional<std::string> note;
  bool operator==(const Renamed&) const = default;
  static constexpr FieldOptions kFields[] = {{.member = "class_", .name = "class"},
                                             {.member = "order_id", .name = "order-id"}};
};

TEST(JsonNames, AFieldHasItsNameOfTheWire) {
  EXPECT_EQ(to_json(Renamed{"a", 1, {}}), R"({"class":"a","order-id":1,"note":null,"__faust":{"ns":"test.Renamed"}})");
  EXPECT_EQ(read<Renamed>(R"({"order-id":1,"class":"a"})"), (Renamed{"a", 1, {}}));
}

TEST(JsonNames, BothReadersKnowIt) {
  const auto text = to_json(Renamed{"a", 1, "b"});
  Renamed value;
  const tests::Exact exact{text};
  EXPECT_TRUE(json::fast::read(exact.view(), value));
  EXPECT_EQ(value, (Renamed{"a", 1, "b"}));
}

TEST(JsonNames, AnEscapedNameIsKnownToo) { EXPECT_EQ(read<Renamed>(R"({"cl\u0061ss":"a"})").class_, "a"); }
TEST(JsonNames, TheMembersOwnNameIsAnUnknownField) {
  EXPECT_EQ(from_json<Renamed>(R"({"class_":"a"})").error().message,
            "class: the field is missing, and it has no initial value to take instead");
}
TEST(JsonNames, ErrorsUseTheNameOfTheWire) {
  EXPECT_EQ(from_json<Renamed>(R"({"class":7})").error().message, "class: expected a string, found 7");
  EXPECT_EQ(from_json<Renamed>(R"({"class":"a","class":"b"})").error().message,
            "class: the name is there twice, and may be there once");
  try {
    to_json(Renamed{"\xff", 1, {}});
    FAIL();
  } catch (const Failure& failure) {
    EXPECT_TRUE(std::string_view{failure.what()}.starts_with("Renamed.class: the text is not valid UTF-8"))
        << failure.what();
  }
}

TEST(JsonNames, StructuresOfOthersAreNamedByTheApp) {
  EXPECT_EQ(to_json(Theirs{"a", 1}), "{\"order-id\":\"a\",\"größe\":1}");
  EXPECT_EQ(read<Theirs>("{\"größe\":1,\"order-id\":\"a\"}").amount, 1);
}

TEST(JsonUnknown, FieldsThatNobodyKnowsAreIgnored) {
  EXPECT_EQ(read<Old>(R"({"new":{"a":[1,2]},"id":"a","newer":null})").id, "a");
}
// Python's json module writes NaN.
TEST(JsonUnknown, MayHoldNaN) { EXPECT_EQ(read<Old>(R"({"score":NaN,"all":[-Infinity],"id":"a"})").id, "a"); }

}  // namespace
}  // namespace mephisto
