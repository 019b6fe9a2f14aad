// Types that cannot be records. refused_records_test.py compiles this file and checks the compiler's messages.
#include "mephisto/mephisto.h"

using namespace mephisto;

struct Price {
  std::string currency;
  long double amount = 0;
};
struct Order {
  std::string id;
  std::vector<Price> lines;
};
struct Label {
  char text[16];
};
struct Renamed {
  std::string class_;
  static constexpr FieldOptions kFields[] = {{.member = "klass", .name = "class"}};
};

int main(int argc, char** argv) {
  App app{"refused"};
  auto& orders = app.topic<Order>("orders");
  auto& labels = app.topic<Label>("labels");
  app.topic<Renamed>("renamed");
  app.topic<Order>("others");
  app.agent("count", orders, [&](Stream<Order> stream) -> Task<void> {
    while (auto order = co_await stream.next()) {
      co_await orders.send(*order);
      co_await labels.cast({});
    }
  });
  return app.main(argc, argv);
}
