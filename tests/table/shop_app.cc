// An app with tables, for tests that run it as a program.
#include "mephisto/mephisto.h"

using namespace mephisto;

namespace {

struct Order {
  std::string customer;
  int price = 0;
};

TopicOptions orders_options() {
  TopicOptions options;
  options.partitions = 4;
  options.internal = true;
  return options;
}

App app{"shop"};
auto& orders = app.topic<Order>("orders", orders_options());
auto& counts = app.table<std::string, std::int64_t>("counts", {.partitions = 4, .help = "orders of a customer"});
auto& count = app.agent("count", orders, [](Stream<Order> stream) -> Task<void> {
  while (auto order = co_await stream.next()) counts[order->customer] += 1;
});

}  // namespace

int main(int argc, char** argv) { return app.main(argc, argv); }
