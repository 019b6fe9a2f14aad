// Any value of a type, sound or not, for the tests that look for unforeseen cases.
#pragma once

#include <deque>
#include <list>
#include <unordered_map>
#include <unordered_set>

#include "codec/damage.h"
#include "codec/records.h"

namespace mephisto::any_value {

using random_records::any_text;
using tests::damaged;

enum class Status { kOk = 200, kNotFound = 404, kLast = 1000 };
enum Color { kRed, kGreen = 5 };
enum class Flag : bool { kOff, kOn };

struct Chosen {
  static constexpr std::string_view kNamespace = "test.Chosen";
  double value = 0;
  bool operator==(const Chosen&) const = default;
};
struct Tree {
  static constexpr std::string_view kNamespace = "test.Tree";
  std::vector<Tree> children;
  bool operator==(const Tree&) const = default;
};

// Any possible T; about half of them have no form in JSON.
template <class T>
struct Any;

template <class T>
  requires(json::Integer<T>)
struct Any<T> {
  static T make(Random& random) { return static_cast<T>(random.next() >> random.below(64)); }
};
template <>
struct Any<bool> {
  static bool make(Random& random) { return random.below(2) == 0; }
};
template <class T>
  requires(std::is_floating_point_v<T>)
struct Any<T> {
  static T make(Random& random) {
    static constexpr T kSpecial[] = {0,
                                     -T{0},
                                     std::numeric_limits<T>::quiet_NaN(),
                                     std::numeric_limits<T>::infinity(),
                                     -std::numeric_limits<T>::infinity(),
                                     std::numeric_limits<T>::max(),
                                     std::numeric_limits<T>::denorm_min(),
                                     T(0.1),
                                     T(1e16),
                                     T(1e-5)};
    if (random.below(3) == 0) return kSpecial[random.below(std::size(kSpecial))];
    using Bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
    return std::bit_cast<T>(static_cast<Bits>(random.next()));
  }
};
template <class T>
  requires(std::is_enum_v<T>)
struct Any<T> {
  static T make(Random& random) {
    if (random.below(2) == 0) return enumerators<T>[random.below(enumerators<T>.size())];
    return static_cast<T>(random.below(std::is_same_v<T, Color> ? 8 : 2000));
  }
};
template <>
struct Any<std::string> {
  static std::string make(Random& random) {
    auto text = any_text(random);
    if (random.below(4) == 0)
      text.insert(random.below(text.size() + 1), 1, static_cast<char>(0x80 + random.below(128)));
    return text;
  }
};
template <>
struct Any<Bytes> {
  static Bytes make(Random& random) {
    Bytes bytes;
    static constexpr std::string_view kTricky = "b'\"\\xn\xff";
    for (auto left = random.below(8); left > 0; --left)
      bytes.data += random.below(2) == 0 ? kTricky[random.below(kTricky.size())] : static_cast<char>(random.next());
    return bytes;
  }
};
template <>
struct Any<Decimal> {
  static Decimal make(Random& random) {
    static constexpr std::string_view kMarks = "0123456789.-+eEn ";
    Decimal decimal{""};
    for (auto left = random.below(7); left > 0; --left) decimal.text += kMarks[random.below(kMarks.size())];
    return decimal;
  }
};
template <>
struct Any<Uuid> {
  static Uuid make(Random& random) { return Uuid::random(random); }
};
template <>
struct Any<None> {
  static None make(Random&) { return {}; }
};
template <>
struct Any<Json> {
  static Json make(Random& random) {
    static const std::vector<std::string> kTexts{"null",
                                                 "true",
                                                 "[]",
                                                 R"({"a":{"b":[null,false]},"c":"\"\\"})",
                                                 "1e-7",
                                                 "\"\xc3\xa9\"",
                                                 "[-Infinity]",
                                                 "NaN",
                                                 "1e400",
                                                 "18446744073709551615",
                                                 "18446744073709551616",
                                                 R"({"a":1,"a":2})",
                                                 "1 2",
                                                 "",
                                                 "\"\xff\"",
                                                 R"("\ud800")",
                                                 std::string(63, '[') + std::string(63, ']'),
                                                 std::string(64, '[') + std::string(64, ']')};
    auto text = kTexts[random.below(kTexts.size())];
    return {random.below(3) == 0 ? damaged(text, random) : text};
  }
};
template <class Clock, class Duration>
struct Any<std::chrono::time_point<Clock, Duration>> {
  static std::chrono::time_point<Clock, Duration> make(Random& random) {
    auto count = Any<typename Duration::rep>::make(random);
    if (random.below(2) == 0) count = -count;
    return std::chrono::time_point<Clock, Duration>{Duration{count}};
  }
};
template <class Rep, class Period>
struct Any<std::chrono::duration<Rep, Period>> {
  static std::chrono::duration<Rep, Period> make(Random& random) {
    return std::chrono::duration<Rep, Period>{Any<Rep>::make(random)};
  }
};
template <>
struct Any<std::chrono::year_month_day> {
  static std::chrono::year_month_day make(Random& random) {
    const auto year = random.below(2) == 0 ? 2000 + static_cast<int>(random.below(40))
                                           : static_cast<int>(random.below(65'535)) - 32'767;
    return std::chrono::year{year} / static_cast<int>(random.below(14)) / static_cast<int>(random.below(33));
  }
};
template <class T>
struct Any<std::optional<T>> {
  static std::optional<T> make(Random& random) {
    return random.below(2) == 0 ? std::nullopt : std::optional{Any<T>::make(random)};
  }
};
template <class A, class B>
struct Any<std::pair<A, B>> {
  static std::pair<A, B> make(Random& random) {
    return {Any<std::remove_const_t<A>>::make(random), Any<B>::make(random)};
  }
};
template <class... T>
struct Any<std::tuple<T...>> {
  static std::tuple<T...> make(Random& random) { return {Any<T>::make(random)...}; }
};
template <class... T>
struct Any<std::variant<T...>> {
  static std::variant<T...> make(Random& random) {
    const std::variant<T...> made[] = {Any<T>::make(random)...};
    return made[random.below(sizeof...(T))];
  }
};
template <class T, std::size_t N>
struct Any<std::array<T, N>> {
  static std::array<T, N> make(Random& random) {
    std::array<T, N> made;
    for (auto& item : made) item = Any<T>::make(random);
    return made;
  }
};
template <class T>
  requires((json::ListLike<T> || json::MapLike<T>) && json::detail::Fillable<T>)
struct Any<T> {
  static T make(Random& random) {
    T made;
    for (auto left = random.below(4); left > 0; --left)
      made.insert(made.end(), Any<typename T::value_type>::make(random));
    return made;
  }
};
template <>
struct Any<Chosen> {
  static Chosen make(Random& random) { return {Any<double>::make(random)}; }
};
template <>
struct Any<Tree> {
  static Tree make(Random& random) {
    Tree tree;
    for (auto left = random.below(50); left > 0; --left) tree = Tree{{std::move(tree)}};
    return tree;
  }
};

template <class T>
struct Wrapped {
  T field{};
};

// Every kind of value that a field can have.
template <template <class...> class List>
using AllKinds =
    List<double, float, std::string, Status, Color, Decimal, Json, std::optional<Json>, std::vector<Json>, Timestamp,
         Microtime, std::chrono::sys_seconds, std::chrono::sys_days, std::chrono::sys_time<std::chrono::nanoseconds>,
         std::chrono::sys_time<std::chrono::minutes>, std::chrono::year_month_day, std::chrono::milliseconds,
         std::chrono::nanoseconds, std::chrono::hours, std::chrono::days, std::chrono::duration<double>,
         std::optional<double>, std::vector<double>, std::vector<std::optional<float>>, std::deque<Status>,
         std::list<Decimal>, std::set<std::string>, std::unordered_set<std::string>, std::map<std::string, double>,
         std::unordered_map<std::string, int>, std::map<Status, int>, std::map<Color, std::string>,
         std::pair<double, std::string>, std::tuple<float>,
         std::tuple<Status, std::optional<Color>, std::chrono::milliseconds>, std::array<double, 2>,
         std::array<std::pair<int, double>, 2>, std::variant<None, Chosen>, std::vector<std::variant<Chosen, Tree>>,
         Chosen, Tree, std::map<std::string, std::vector<std::optional<Chosen>>>>;

}  // namespace mephisto::any_value
