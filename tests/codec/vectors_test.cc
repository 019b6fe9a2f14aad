// Values against the output of real Python. data/make_vectors.py made the file and describes its columns.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <charconv>
#include <fstream>
#include <functional>

#include "mephisto/codec/json_read.h"

namespace mephisto {
namespace {

using testing::IsEmpty;

struct Vector {
  std::string input;
  std::string orjson;
  std::string stdlib;

  const std::string& text(Dialect dialect) const { return dialect == Dialect::kOrjson ? orjson : stdlib; }
};

std::vector<std::string> cut(const std::string& text, char end) {
  std::vector<std::string> parts;
  std::size_t at = 0;
  for (auto stop = text.find(end); stop != std::string::npos; stop = text.find(end, at)) {
    parts.push_back(text.substr(at, stop - at));
    at = stop + 1;
  }
  return parts;
}

std::vector<Vector> vectors(const std::string& kind) {
  std::ifstream file{MEPHISTO_SOURCE_DIR "/tests/codec/data/json_vectors.tsv", std::ios::binary};
  std::vector<Vector> found;
  for (std::string line; std::getline(file, line);) {
    auto columns = cut(line + '\t', '\t');
    if (columns.size() == 4 && columns[0] == kind) found.push_back({columns[1], columns[2], columns[3]});
  }
  return found;
}

template <class T>
T number(const std::string& text, int base = 10) {
  T value{};
  auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (code != std::errc{} || end != text.data() + text.size())
    throw std::runtime_error("bad number in json_vectors.tsv: " + text);
  return value;
}

double to_double(const std::string& text) { return std::bit_cast<double>(number<std::uint64_t>(text, 16)); }

std::string from_hex(const std::string& text) {
  std::string bytes;
  for (std::size_t i = 0; i < text.size(); i += 2) bytes += static_cast<char>(number<unsigned>(text.substr(i, 2), 16));
  return bytes;
}

template <class T>
std::vector<T> to_list(const std::string& text, T (*item)(const std::string&)) {
  std::vector<T> list;
  for (const auto& part : cut(text, ';')) list.push_back(item(part));
  return list;
}

using IntsByName = std::map<std::string, std::vector<std::optional<std::int64_t>>>;

IntsByName to_ints_by_name(const std::string& text) {
  IntsByName lists;
  for (const auto& entry : cut(text, '/')) {
    auto equals = entry.find('=');
    auto& list = lists[from_hex(entry.substr(0, equals))];
    for (const auto& item : cut(entry.substr(equals + 1), ';')) {
      list.push_back(item == "null" ? std::nullopt : std::optional{number<std::int64_t>(item)});
    }
  }
  return lists;
}

Microtime to_datetime(const std::string& text) {
  return Microtime{std::chrono::microseconds{number<std::int64_t>(text)}};
}
std::chrono::year_month_day to_date(const std::string& text) {
  return std::chrono::sys_days{std::chrono::days{number<int>(text)}};
}
Bytes to_bytes(const std::string& text) { return {from_hex(text)}; }

bool same(double a, double b) {
  return std::bit_cast<std::uint64_t>(a) == std::bit_cast<std::uint64_t>(b) || (std::isnan(a) && std::isnan(b));
}
template <class T>
bool same(const T& a, const T& b) {
  return a == b;
}

// The value as JSON. A refused value becomes null, as it does in orjson.
template <class T>
std::string written(const T& value, Dialect dialect) {
  try {
    return to_json(value, dialect);
  } catch (const Failure&) {
    return "null";
  }
}

// The differences when the inputs of `kind` are written; empty if there are none. NaN and infinities are refused;
// Python's json module writes words for them.
template <class T>
std::vector<std::string> wrong_when_written(const std::string& kind, T (*value_of)(const std::string&),
                                            Dialect dialect) {
  std::vector<std::string> wrong;
  auto all = vectors(kind);
  if (all.empty()) wrong.push_back("no vectors of kind " + kind);
  for (const auto& vector : all) {
    auto text = written(value_of(vector.input), dialect);
    if (text != (vector.orjson == "null" ? vector.orjson : vector.text(dialect)))
      wrong.push_back(vector.input + ": Python writes " + vector.text(dialect) + ", we write " + text);
  }
  return wrong;
}

// The differences when both outputs of Python are read. A double that orjson wrote as null cannot be recovered.
template <class T>
std::vector<std::string> wrong_when_read(const std::string& kind, T (*value_of)(const std::string&)) {
  std::vector<std::string> wrong;
  auto all = vectors(kind);
  if (all.empty()) wrong.push_back("no vectors of kind " + kind);
  for (const auto& vector : all) {
    for (auto dialect : {Dialect::kOrjson, Dialect::kStdlib}) {
      const auto& text = vector.text(dialect);
      if (text == "null") continue;
      auto value = from_json<T>(text);
      if (!value)
        wrong.push_back(text + ": " + value.error().message);
      else if (!same(*value, value_of(vector.input)))
        wrong.push_back(text + " reads as another value than " + vector.input);
    }
  }
  return wrong;
}

std::vector<double> to_doubles(const std::string& text) { return to_list<double>(text, to_double); }
std::vector<std::string> to_strings(const std::string& text) { return to_list<std::string>(text, from_hex); }
std::int64_t to_int(const std::string& text) { return number<std::int64_t>(text); }
std::uint64_t to_uint(const std::string& text) { return number<std::uint64_t>(text); }

TEST(JsonVectors, DoublesAreWrittenAsOrjsonDoes) {
  EXPECT_THAT(wrong_when_written("double", to_double, Dialect::kOrjson), IsEmpty());
}
TEST(JsonVectors, DoublesAreWrittenAsPythonsJsonDoes) {
  EXPECT_THAT(wrong_when_written("double", to_double, Dialect::kStdlib), IsEmpty());
}
TEST(JsonVectors, DoublesOfBothDialectsReadBackToTheBit) {
  EXPECT_THAT(wrong_when_read("double", to_double), IsEmpty());
}

TEST(JsonVectors, IntegersAreWrittenAsOrjsonDoes) {
  EXPECT_THAT(wrong_when_written("int", to_int, Dialect::kOrjson), IsEmpty());
}
TEST(JsonVectors, IntegersAreWrittenAsPythonsJsonDoes) {
  EXPECT_THAT(wrong_when_written("int", to_int, Dialect::kStdlib), IsEmpty());
}
TEST(JsonVectors, IntegersReadBack) { EXPECT_THAT(wrong_when_read("int", to_int), IsEmpty()); }
TEST(JsonVectors, IntegersBeyondTheSignedOnesAreWrittenAsOrjsonDoes) {
  EXPECT_THAT(wrong_when_written("uint", to_uint, Dialect::kOrjson), IsEmpty());
}
TEST(JsonVectors, IntegersBeyondTheSignedOnesReadBack) { EXPECT_THAT(wrong_when_read("uint", to_uint), IsEmpty()); }

TEST(JsonVectors, StringsAreWrittenAsOrjsonDoes) {
  EXPECT_THAT(wrong_when_written("string", from_hex, Dialect::kOrjson), IsEmpty());
}
TEST(JsonVectors, StringsAreWrittenAsPythonsJsonDoes) {
  EXPECT_THAT(wrong_when_written("string", from_hex, Dialect::kStdlib), IsEmpty());
}
TEST(JsonVectors, StringsOfBothDialectsReadBack) { EXPECT_THAT(wrong_when_read("string", from_hex), IsEmpty()); }

TEST(JsonVectors, BytesThatAreNoTextAreWrittenAsFaustWithOrjsonDoes) {
  EXPECT_THAT(wrong_when_written("bytes", to_bytes, Dialect::kOrjson), IsEmpty());
}
TEST(JsonVectors, BytesThatAreNoTextAreWrittenAsFaustWithPythonsJsonDoes) {
  EXPECT_THAT(wrong_when_written("bytes", to_bytes, Dialect::kStdlib), IsEmpty());
}
TEST(JsonVectors, BytesThatAreNoTextReadBack) { EXPECT_THAT(wrong_when_read("bytes", to_bytes), IsEmpty()); }
TEST(JsonVectors, BytesWithQuotesLineEndsAndTabsAreWrittenAsPythonsRepr) {
  EXPECT_THAT(wrong_when_written("bytes_quoted", to_bytes, Dialect::kOrjson), IsEmpty());
}
TEST(JsonVectors, BytesWithQuotesLineEndsAndTabsReadBack) {
  EXPECT_THAT(wrong_when_read("bytes_quoted", to_bytes), IsEmpty());
}

TEST(JsonVectors, TimesAreWrittenAsOrjsonDoes) {
  EXPECT_THAT(wrong_when_written("datetime", to_datetime, Dialect::kOrjson), IsEmpty());
}
TEST(JsonVectors, TimesAreWrittenAsFaustWithPythonsJsonDoes) {
  EXPECT_THAT(wrong_when_written("datetime", to_datetime, Dialect::kStdlib), IsEmpty());
}
TEST(JsonVectors, TimesReadBackToTheMicrosecond) { EXPECT_THAT(wrong_when_read("datetime", to_datetime), IsEmpty()); }
TEST(JsonVectors, DatesAreWrittenAsOrjsonDoes) {
  EXPECT_THAT(wrong_when_written("date", to_date, Dialect::kOrjson), IsEmpty());
}
TEST(JsonVectors, DatesAreWrittenAsFaustWithPythonsJsonDoes) {
  EXPECT_THAT(wrong_when_written("date", to_date, Dialect::kStdlib), IsEmpty());
}
TEST(JsonVectors, DatesOfBothDialectsReadBack) { EXPECT_THAT(wrong_when_read("date", to_date), IsEmpty()); }

TEST(JsonVectors, ListsOfDoublesAreWrittenAsOrjsonDoes) {
  EXPECT_THAT(wrong_when_written("doubles", to_doubles, Dialect::kOrjson), IsEmpty());
}
TEST(JsonVectors, ListsOfDoublesAreWrittenAsPythonsJsonDoes) {
  EXPECT_THAT(wrong_when_written("doubles", to_doubles, Dialect::kStdlib), IsEmpty());
}
TEST(JsonVectors, ListsOfDoublesReadBack) { EXPECT_THAT(wrong_when_read("doubles", to_doubles), IsEmpty()); }
TEST(JsonVectors, ListsOfStringsAreWrittenAsOrjsonDoes) {
  EXPECT_THAT(wrong_when_written("strings", to_strings, Dialect::kOrjson), IsEmpty());
}
TEST(JsonVectors, ListsOfStringsAreWrittenAsPythonsJsonDoes) {
  EXPECT_THAT(wrong_when_written("strings", to_strings, Dialect::kStdlib), IsEmpty());
}
TEST(JsonVectors, ListsOfStringsReadBack) { EXPECT_THAT(wrong_when_read("strings", to_strings), IsEmpty()); }

TEST(JsonVectors, ObjectsOfListsAreWrittenAsOrjsonDoes) {
  EXPECT_THAT(wrong_when_written("ints_by_name", to_ints_by_name, Dialect::kOrjson), IsEmpty());
}
TEST(JsonVectors, ObjectsOfListsAreWrittenAsPythonsJsonDoes) {
  EXPECT_THAT(wrong_when_written("ints_by_name", to_ints_by_name, Dialect::kStdlib), IsEmpty());
}
TEST(JsonVectors, ObjectsOfListsReadBack) { EXPECT_THAT(wrong_when_read("ints_by_name", to_ints_by_name), IsEmpty()); }

TEST(JsonVectors, AnyTreeReadsAsJsonTextFromEveryDialect) {
  auto all = vectors("tree");
  ASSERT_FALSE(all.empty());
  for (const auto& vector : all) {
    for (const auto& text : {vector.orjson, vector.stdlib, from_hex(vector.input)}) {
      auto value = from_json<Json>(text);
      ASSERT_TRUE(value) << value.error().message << "\n" << text;
      EXPECT_EQ(value->text, vector.orjson);
    }
  }
}

}  // namespace
}  // namespace mephisto
