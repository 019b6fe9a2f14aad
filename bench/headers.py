#!/usr/bin/env python3
"""Seconds and megabytes that clang takes for the public headers, for examples/hello and for an app of four agents and
seven records, beside <boost/asio.hpp>: the least of five runs.

  bench/headers.py [COMPILER]
"""
import os
import pathlib
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
RUNS = 5
SHOP = """
#include <mephisto/mephisto.h>

using namespace mephisto;

enum class Side { buy, sell };
struct Fill {
  std::int64_t quantity = 0;
  double price = 0;
};
struct Order {
  std::string id;
  std::string customer;
  Side side = Side::buy;
  std::vector<Fill> fills;
  std::optional<std::string> note;
  Timestamp created{};
};
struct Payment {
  std::string order;
  double amount = 0;
};
struct Paid {
  Order order;
  Payment payment;
};
struct Customer {
  std::string id;
  std::string name;
  std::map<std::string, std::string> labels;
};
struct Shipment {
  std::string order;
  std::vector<std::string> parcels;
};
struct Answer {
  bool accepted = false;
  std::string why;
};

App app{"shop"};
auto& orders = app.topic<Order>("orders");
auto& payments = app.topic<Payment>("payments");
auto& paid = app.topic<Paid>("paid");
auto& shipments = app.topic<Shipment>("shipments");
auto& open_orders = app.table<std::string, Order>("open");
auto& customers = app.table<std::string, Customer>("customers");
auto& check = app.agent("check", orders, [](Stream<Order> stream) -> Results<Answer> {
  while (auto order = co_await stream.next()) {
    open_orders.set(order->id, *order);
    co_yield Answer{!order->fills.empty(), "it has no fills"};
  }
});
auto& pay = app.agent("pay", payments, [](Stream<Payment> stream) -> Task<void> {
  while (auto payment = co_await stream.next()) {
    if (auto order = open_orders.pop(payment->order)) co_await paid.send({*order, *payment}, {.key = order->id});
  }
});
auto& ship = app.agent("ship", paid, [](Stream<Paid> stream) -> Task<void> {
  while (auto one = co_await stream.next()) co_await shipments.cast({one->order.id, {}}, {.key = one->order.id});
});
auto& tell = app.agent("tell", shipments, [](Stream<Shipment> stream) -> Task<void> {
  while (auto one = co_await stream.next()) log::info("{} is sent: {}", one->order, customers.get(one->order).name);
});

int main(int argc, char** argv) { return app.main(argc, argv); }
"""
CASES = {"boost/asio.hpp": "#include <boost/asio.hpp>\n", "mephisto/mephisto.h": "#include <mephisto/mephisto.h>\n",
         "examples/hello": (ROOT / "examples/hello/hello.cc").read_text(), "4 agents, 7 records": SHOP}


def usage(command):
    """Of one run: seconds of the processor, and the most memory in MB."""
    process = os.posix_spawnp(command[0], command, os.environ)
    _, status, used = os.wait4(process, 0)
    if status != 0:
        sys.exit(f"{' '.join(command)} failed")
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def main():
    compiler = sys.argv[1] if len(sys.argv) > 1 else "clang++-19"
    asio = None
    with tempfile.TemporaryDirectory(prefix="headers-") as folder:
        for name, text in CASES.items():
            source = pathlib.Path(folder, "program.cc")
            source.write_text(text)
            runs = [usage([compiler, "-std=c++23", "-O2", "-c", f"-I{ROOT}/include", str(source), "-o", f"{folder}/program.o"]) for _ in range(RUNS)]
            seconds, megabytes = (min(column) for column in zip(*runs))
            asio = asio or seconds
            print(f"{name:20} {seconds:5.2f} s {megabytes:5.0f} MB {seconds / asio:5.2f} of boost/asio.hpp", flush=True)


if __name__ == "__main__":
    main()
