// An app as a shared library:
//
//   mephisto -A build/libshop.so worker
//   mephisto -A build/libshop.so send orders '{"id": "1", "price": 9.5}'
#include <mephisto/mephisto.h>

using namespace mephisto;

struct Order {
  std::string id;
  double price = 0;
};

App app{"shop"};
auto& orders = app.topic<Order>("orders", {.internal = true});
auto& check = app.agent("check", orders, [](Stream<Order> stream) -> Results<bool> {
  while (auto order = co_await stream.next()) {
    log::info("{} costs {}", order->id, order->price);
    co_yield order->price < 100;
  }
});

// The function that `mephisto -A` calls.
extern "C" int mephisto_main(int argc, char** argv) { return app.main(argc, argv); }
