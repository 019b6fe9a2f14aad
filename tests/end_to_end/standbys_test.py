"""Standbys with real workers: the next owner has the state already when a worker is killed."""
import json
import signal
import unittest

from support import BIN, Scene, run, wait_for

SHOP = BIN.parent / "tests/shop_app"
CUSTOMERS = [f"c{number}" for number in range(40)]


class Standbys(Scene):
    settings = ()  # for the broker

    def setUp(self):
        self.place = self.folder / self.id().rsplit(".", 1)[1]
        self.place.mkdir()

    def start_shop(self, name, store):
        worker = self.start(SHOP, "worker", "--loglevel", "debug", "--shards", 2, "--set", f"store={store}", "--set",
                            f"tabledir={self.place / name}", "--set", "table_standby_replicas=1", "--set",
                            "broker_commit_interval=0.1s", *self.settings, folder=self.place, name=name)
        worker.wait_for(r" - Worker ready$")
        return worker

    def shop(self, *words):
        return run(SHOP, *words, *self.settings, folder=self.place)

    def parts(self):
        got = self.shop("tables", "--json")
        self.assertEqual(got.returncode, 0, got)
        table, = json.loads(got.stdout)
        return table["of_partitions"], table["state"]

    @staticmethod
    def keys(parts):
        return sum(part["keys"] for part in parts if part["state"] == "running")

    def counts(self):
        return {row["key"]: row["value"] for row in json.loads(self.shop("table", "counts", "--json").stdout)}

    def order_all(self):
        for customer in CUSTOMERS:
            sent = self.shop("send", "orders", json.dumps({"customer": customer, "price": 1}), "--key", customer)
            self.assertEqual(sent.returncode, 0, sent.stderr)

    def takeover(self, store):
        first = self.start_shop("first", store)
        second = self.start_shop("second", store)
        self.order_all()

        def followed():
            parts, _ = self.parts()
            running = {part["partition"]: part["position"] for part in parts if part["state"] == "running"}
            standbys = {part["partition"]: part for part in parts if part["state"] == "standby"}
            return (self.keys(parts) == len(CUSTOMERS) and set(running) == set(standbys) == {0, 1, 2, 3} and
                    all(standbys[one]["position"] >= running[one] for one in running) and parts)
        parts = wait_for(followed, lambda: f"all partitions to have a standby: {self.parts()}")
        owners = {part["partition"]: part["member"].split(":")[1] for part in parts if part["state"] == "running"}
        for part in parts:
            if part["state"] == "standby":
                self.assertNotEqual(part["member"].split(":")[1], owners[part["partition"]], "in another worker")
        self.assertRegex(self.parts()[1], r"running .*standby of ")

        killed = [number for number, owner in owners.items() if owner == str(first.pid)]
        self.assertTrue(killed)
        first.signal(signal.SIGKILL)
        first.wait()
        wait_for(lambda: self.parts()[1] == "running {0-3}", lambda: f"the takeover: {self.parts()}")
        for number in killed:
            self.assertNotRegex(second.stderr, rf"[1-9]\d* records of shop-counts-changelog/{number} restored")
        self.order_all()
        wait_for(lambda: set(self.counts().values()) == {2}, self.counts)
        self.assertEqual(self.counts(), dict.fromkeys(CUSTOMERS, 2))
        second.signal(signal.SIGTERM)
        self.assertEqual(second.wait(), 0, second.stderr)

    def test_takeover_in_memory(self):
        self.takeover("memory://")

    def test_takeover_on_disk(self):
        self.takeover("rocksdb://")


if __name__ == "__main__":
    unittest.main()
