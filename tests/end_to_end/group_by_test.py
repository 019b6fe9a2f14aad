"""An app with group_by on several workers that are killed again and again: each record counts once by its other key."""
import json
import random
import signal
import unittest

from support import BIN, Scene, run, wait_for

PROGRAM = BIN.parent / "examples/customer_totals"
CUSTOMERS = ("ann", "bob", "cleo", "dan")
WORKERS = 3


class GroupBy(Scene):
    settings = {"processing_guarantee": "exactly_once", "broker_commit_interval": "50ms"}
    kills = 12
    orders = 500  # of each customer

    def words(self, *words):
        return [*words, *(word for name, value in self.settings.items() for word in ("--set", f"{name}={value}"))]

    def listed(self, *words):
        got = run(PROGRAM, *self.words(*words), "--json", folder=self.folder)
        self.assertEqual((got.returncode, got.stderr), (0, ""), got)
        return json.loads(got.stdout)

    def start_worker(self):
        return self.start(PROGRAM, *self.words("worker", "--without-web"), name="worker")

    def totals(self):
        return {row["key"]: row["value"] for row in self.listed("table", "totals")}

    def test_each_order_counts_once_for_its_customer(self):
        workers = [self.start_worker() for _ in range(WORKERS)]
        for worker in workers:
            worker.wait_for("Worker ready$")
        senders = []
        for customer in CUSTOMERS:  # without a key: the orders of a customer are in all partitions
            order = json.dumps({"number": 1, "customer": customer, "price": 2})
            senders.append(self.start(PROGRAM, *self.words("send", "orders", order), "--repeat", self.orders,
                                      "--min-latency", "0.002", "--max-latency", "0.02", name=customer))
        chance = random.Random(7)
        for _ in range(self.kills):
            before = sum(total["orders"] for total in self.totals().values()) if self.has_begun() else 0
            wait_for(lambda: self.has_begun() and sum(t["orders"] for t in self.totals().values()) > before
                     or all(sender.child.poll() is not None for sender in senders), "orders to be counted")
            victim = chance.randrange(WORKERS)
            workers[victim].signal(signal.SIGKILL)
            workers[victim].wait()
            workers[victim] = self.start_worker()
        for sender in senders:
            self.assertEqual(sender.wait(), 0, sender.stderr)
        expected = {customer: {"orders": self.orders, "spent": 2.0 * self.orders} for customer in CUSTOMERS}
        wait_for(lambda: self.totals() == expected, lambda: f"{self.totals()}, not {expected}")
        sent_on = self.listed("topic", "orders-customer-repartition", "--limit", "0")
        self.assertEqual(len(sent_on), self.orders * len(CUSTOMERS))
        for worker in workers:
            worker.signal(signal.SIGTERM)
        for worker in workers:
            self.assertEqual(worker.wait(), 0, worker.stderr[-3000:])
        self.assertEqual(self.totals(), expected)

    def has_begun(self):
        return run(PROGRAM, *self.words("table", "totals"), folder=self.folder).returncode == 0


if __name__ == "__main__":
    unittest.main()
