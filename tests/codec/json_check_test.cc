// A type that cannot be a record or a field is refused at compile time, with the structure, the field, its type and the
// reason.
#include <gtest/gtest.h>

#include <any>
#include <deque>
#include <forward_list>
#include <functional>
#include <list>
#include <span>

#include "mephisto/codec.h"

namespace mephisto::json {
namespace {

using detail::Flaw;

template <class Checked>
struct Told {
  static constexpr bool fine = true;
};
template <class Owner, detail::Text Field, class Type, Flaw Why>
struct Told<detail::Refused<Owner, Field, Type, Why>> {
  static constexpr bool fine = false;
  static constexpr std::string_view field{Field.text};
  static constexpr Flaw why = Why;
  template <class T>
  static constexpr bool owner_is = std::is_same_v<Owner, T>;
};

// Why a structure with such a field is refused.
template <class T>
struct With {
  int before = 0;
  T field;
};
template <class T>
constexpr bool refused(Flaw why) {
  using Found = Told<detail::Checked<With<T>>>;
  if constexpr (Found::fine)
    return false;
  else
    return Found::why == why && Found::field == "field" && Found::template owner_is<With<T>>;
}
template <class T>
constexpr bool refused_whole(Flaw why, std::string_view field = "") {
  using Found = Told<detail::Checked<T>>;
  if constexpr (Found::fine)
    return false;
  else
    return Found::why == why && Found::field == field;
}

enum class Empty {};
enum class Far { kFar = 5000 };
enum class Fine { kFine };
struct Fill {
  static constexpr std::string_view kNamespace = "test.Fill";
  int a = 0;
};
struct Other {
  static constexpr std::string_view kNamespace = "test.Fill";
  int a = 0;
};
struct Nameless {
  int a = 0;
};
class Closed {
 public:
  Closed() = default;
  int value() const { return value_; }

 private:
  int value_ = 0;
};
struct NoDefault {
  explicit NoDefault(int) {}
};

static_assert(refused<long double>(Flaw::kLongDouble));
static_assert(refused<std::vector<long double>>(Flaw::kLongDouble));
static_assert(refused<std::map<std::string, std::optional<long double>>>(Flaw::kLongDouble));
static_assert(refused<std::tuple<int, long double>>(Flaw::kLongDouble));
static_assert(refused<char>(Flaw::kCharacter));
static_assert(refused<wchar_t>(Flaw::kCharacter));
static_assert(refused<std::vector<char>>(Flaw::kCharacter));
static_assert(refused<std::wstring>(Flaw::kCharacter));
static_assert(refused<const char*>(Flaw::kText));
static_assert(refused<std::string_view>(Flaw::kText));
static_assert(refused<int*>(Flaw::kPointer));
static_assert(refused<std::nullptr_t>(Flaw::kPointer));
static_assert(refused<Empty>(Flaw::kEnum));
static_assert(refused<Far>(Flaw::kEnum));
static_assert(refused<std::byte>(Flaw::kEnum));
static_assert(refused<std::chrono::steady_clock::time_point>(Flaw::kClock));
static_assert(refused<std::chrono::sys_time<std::chrono::duration<double>>>(Flaw::kClock));
static_assert(refused<std::chrono::duration<double, std::milli>>(Flaw::kDuration));
static_assert(refused<std::chrono::duration<float>>(Flaw::kDuration));
static_assert(refused<std::optional<std::optional<int>>>(Flaw::kNullTwice));
static_assert(refused<std::optional<None>>(Flaw::kNullTwice));
static_assert(refused<std::optional<std::variant<None, Fill>>>(Flaw::kNullTwice));
static_assert(refused<std::variant<int, std::string>>(Flaw::kVariant));
static_assert(refused<std::variant<Fill, Nameless>>(Flaw::kVariant));
static_assert(refused<std::variant<Fill, Other>>(Flaw::kVariantNames));
static_assert(refused<std::map<double, int>>(Flaw::kKey));
static_assert(refused<std::map<bool, int>>(Flaw::kKey));
static_assert(refused<std::map<Timestamp, int>>(Flaw::kKey));
static_assert(refused<std::map<Bytes, int>>(Flaw::kKey));
static_assert(refused<std::map<Far, int>>(Flaw::kEnum));
static_assert(refused<std::multimap<std::string, int>>(Flaw::kMap));
static_assert(refused<std::unordered_multimap<int, int>>(Flaw::kMap));
static_assert(refused<std::forward_list<int>>(Flaw::kList));
static_assert(refused<std::span<int>>(Flaw::kList));
static_assert(refused<std::unique_ptr<int>>(Flaw::kOther));
static_assert(refused<std::shared_ptr<Fill>>(Flaw::kOther));
static_assert(refused<std::function<void()>>(Flaw::kOther));
static_assert(refused<Closed>(Flaw::kOther));

struct Derived : Fill {
  int b = 0;
};
struct OnlyDerived : Fill {};
struct Array {
  int before = 0;
  Nameless inner;
  char name[16];
  double after = 0;
  int more[2][3];
};
struct FirstArray {
  int all[2];
};
struct Constant {
  int a = 0;
  const int b = 0;
};
struct Reference {
  int a = 0;
  int& b;
};
struct Undefaulted {
  int a = 0;
  NoDefault b;
};
struct Deep {
  std::vector<With<std::map<std::string, With<char>>>> all;
};
struct Wide65 {
  With<int> a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, b0, b1, b2, b3, b4, b5, b6, b7, b8, b9, c0, c1, c2, c3, c4, c5, c6,
      c7, c8, c9, d0, d1, d2, d3, d4, d5, d6, d7, d8, d9, e0, e1, e2, e3, e4, e5, e6, e7, e8, e9, f0, f1, f2, f3, f4,
      f5, f6, f7, f8, f9, g0, g1, g2, g3, g4;
};
struct Misspelt {
  int class_ = 0;
  static constexpr FieldOptions kFields[] = {{.member = "clas_", .name = "class"}};
};
struct Twice {
  int a = 0;
  int b = 0;
  static constexpr FieldOptions kFields[] = {{.member = "b", .name = "a"}};
};
struct Quoted {
  int a = 0;
  int b = 0;
  static constexpr FieldOptions kFields[] = {{.member = "b", .name = "b\"c"}};
};
struct Metadata {
  static constexpr std::string_view kNamespace = "test.Metadata";
  int a = 0;
  static constexpr FieldOptions kFields[] = {{.member = "a", .name = "__faust"}};
};

static_assert(refused_whole<Derived>(Flaw::kBase));
static_assert(refused_whole<OnlyDerived>(Flaw::kBase));
static_assert(refused_whole<Array>(Flaw::kArray, "name"));
static_assert(refused_whole<FirstArray>(Flaw::kArray, "all"));
static_assert(refused_whole<Constant>(Flaw::kConst, "b"));
static_assert(refused_whole<Reference>(Flaw::kNoDefault));
static_assert(refused_whole<Undefaulted>(Flaw::kNoDefault));
static_assert(refused_whole<Deep>(Flaw::kCharacter, "field"));
static_assert(Told<detail::Checked<Deep>>::owner_is<With<char>>);
static_assert(refused_whole<Wide65>(Flaw::kTooManyFields));
static_assert(refused_whole<Misspelt>(Flaw::kUnknownMember, "clas_"));
static_assert(refused_whole<Twice>(Flaw::kNameTwice, "a"));
static_assert(refused_whole<Quoted>(Flaw::kBadName, "b"));
static_assert(refused_whole<Metadata>(Flaw::kNameTwice, "a"));
static_assert(refused_whole<long double>(Flaw::kLongDouble));
static_assert(refused_whole<Closed>(Flaw::kOther));
static_assert(refused_whole<std::vector<std::string_view>>(Flaw::kText));

struct Node {
  std::vector<Node> children;
  std::map<std::string, Node> named;
};
struct Nothing {};
static_assert(is_sound<With<std::deque<std::list<std::pair<Fine, std::array<std::tuple<float, Uuid>, 2>>>>>>);
static_assert(is_sound<With<std::variant<None, Fill>>>);
static_assert(is_sound<With<std::chrono::system_clock::time_point>>);
static_assert(is_sound<With<std::array<Nameless, 3>>>);
static_assert(is_sound<With<std::optional<Node>>> && is_sound<Nothing> && is_sound<std::optional<Json>> &&
              is_sound<None>);

TEST(JsonCheck, KnowsWhatCanBeSent) { EXPECT_TRUE(is_sound<Node>); }

}  // namespace
}  // namespace mephisto::json
