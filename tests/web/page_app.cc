// A shop for the tests of the operator's page, and for the pictures of it in the documents. Its agents succeed, fail or
// wait, as the orders say.
#include "mephisto/mephisto.h"
#include "mephisto/web.h"

using namespace mephisto;
using namespace std::chrono_literals;

namespace {

struct Order {
  std::string customer;
  std::string item;
  int price = 0;
};

struct Total {
  int orders = 0;
  std::int64_t spent = 0;
  std::string last_item;
};

TopicOptions with_partitions(int number) {
  TopicOptions options;
  options.partitions = number;
  options.internal = true;
  return options;
}

// Its number of partitions is the setting topic_partitions.
TopicOptions by_setting() {
  TopicOptions options;
  options.internal = true;
  return options;
}

App app{"bookshop"};
auto& orders = app.topic<Order>("orders", with_partitions(4));
auto& accepted = app.topic<Order>("accepted", with_partitions(4));
auto& parcels = app.topic<Order>("parcels", with_partitions(1));
auto& visits = app.topic<std::string>("visits", by_setting());
auto& totals = app.table<std::string, Total>("totals", {.partitions = 4, .help = "what each customer has spent"});

auto& check = app.agent("check_orders", orders,
                        [](Stream<Order> stream) -> Task<void> {
                          while (auto order = co_await stream.next()) {
                            if (order->price < 0)
                              throw Failure(ErrorKind::kInvalid, "the price is below 0: " + order->item);
                            co_await accepted.cast(*order, {.key = order->customer});
                          }
                        },
                        {.help = "refuses orders that cannot be right"});
auto& add = app.agent("add_up", accepted,
                      [](Stream<Order> stream) -> Task<void> {
                        while (auto order = co_await stream.next()) {
                          auto& total = totals[order->customer];
                          total.orders += 1;
                          total.spent += order->price;
                          total.last_item = order->item;
                        }
                      },
                      {.help = "sums up what customers spend"});
auto& pack = app.agent("pack", parcels,
                       [](Stream<Order> stream) -> Task<void> {
                         while (auto order = co_await stream.next()) {
                           if (order->item == "lost") co_await sleep_for(1h);
                         }
                       },
                       {.help = "packs parcels; one with a lost item waits"});
auto& watch = app.agent("watch", visits, [](Stream<std::string> stream) -> Task<void> {
  while (co_await stream.next()) {
  }
});

struct FillOptions {
  int orders = 100;
  int customers = 10;
  int pause_ms = 0;
  static std::vector<OptionHelp> help() {
    return {{"orders", "how many"}, {"customers", "of how many customers"}, {"pause_ms", "between two orders"}};
  }
};

Task<int> fill(FillOptions options, CommandContext) {
  static constexpr const char* kItems[] = {"atlas", "novel", "cookbook", "dictionary", "poems", "travel guide"};
  for (int i = 0; i < options.orders; ++i) {
    const auto customer = "customer-" + std::to_string(i % options.customers);
    co_await orders.cast({customer, kItems[i % std::size(kItems)], 5 + (i * 7) % 40}, {.key = customer});
    if (options.pause_ms > 0) co_await sleep_for(std::chrono::milliseconds{options.pause_ms});
  }
  co_return 0;
}

// A view of the app in the operator's page.
constexpr std::string_view kShelf = R"(import { element, replace } from '/page/parts.js';
export function show(view, argument, query) {
  const line = element('p');
  replace(view, element('h2', {}, 'Shelf'), line);
  let looks = 0;
  return async (asked) => {
    const { app } = await asked;
    looks += 1;
    line.textContent = `${argument ?? 'everything'} of ${app} by ${query.get('by')}, seen ${looks} times`;
  };
}
)";

}  // namespace

int main(int argc, char** argv) {
  app.command<FillOptions>("fill", "Send orders.", fill);
  app.page("/shop/shelf.js", ProgramFile{"shelf.js", kShelf, "Shelf"});
  return app.main(argc, argv);
}
