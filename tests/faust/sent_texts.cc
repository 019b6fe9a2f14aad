// Prints what is sent for random values of every kind, for values_test.py: the kind, a tab, the JSON, a zero byte.
#include <fmt/format.h>

#include "codec/any_value.h"

namespace mephisto::any_value {
namespace {

constexpr int kValues = 500;

template <class T>
void print_sent(Random& random) {
  for (int i = 0; i < kValues; ++i) {
    for (const auto dialect : {Dialect::kOrjson, Dialect::kStdlib}) {
      try {
        const auto text = to_json(Any<T>::make(random), dialect);
        fmt::print("{}\t{}{}", reflect::type_name<T>(), text, '\0');
      } catch (const Failure&) {
        continue;  // refused
      }
    }
  }
}

template <class... T>
struct Kinds {
  static void print() {
    Random random;
    (print_sent<T>(random), ...);
  }
};

}  // namespace
}  // namespace mephisto::any_value

int main() { mephisto::any_value::AllKinds<mephisto::any_value::Kinds>::print(); }
