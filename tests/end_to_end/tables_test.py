"""The commands on tables beside a running worker, after its end and after its kill."""
import json
import signal
import unittest

from support import BIN, Scene, run, wait_for

SHOP = BIN.parent / "tests/shop_app"
CUSTOMERS = [f"c{number}" for number in range(10)]


class Tables(Scene):
    def setUp(self):
        self.place = self.folder / self.id().rsplit(".", 1)[1]
        self.place.mkdir()

    def shop(self, *words):
        return run(SHOP, *words, folder=self.place)

    def listed(self, *words):
        got = self.shop(*words, "--json")
        self.assertEqual((got.returncode, got.stderr), (0, ""), got)
        return json.loads(got.stdout)

    def order(self, customer):
        sent = self.shop("send", "orders", json.dumps({"customer": customer, "price": 1}), "--key", customer)
        self.assertEqual(sent.returncode, 0, sent.stderr)

    def start_shop(self):
        worker = self.start(SHOP, "worker", "--shards", 2, "--set", "store=rocksdb://", "--set",
                            "broker_commit_interval=0.1s", folder=self.place, name="shop")
        worker.wait_for(r" - Worker ready$")
        return worker

    def end(self, worker):
        worker.signal(signal.SIGTERM)
        self.assertEqual(worker.wait(), 0, worker.stderr)

    def counts(self):
        return {row["key"]: row["value"] for row in self.listed("table", "counts")}

    def wait_for_keys(self, number):
        def look():
            table, = self.listed("tables")
            return table["keys"] == number and table["state"] == "running {0-3}" and table
        return wait_for(look, lambda: f"{number} keys: {self.shop('tables').stdout}")

    def test_beside_a_running_worker(self):
        worker = self.start_shop()
        for customer in CUSTOMERS:
            self.order(customer)
        table = self.wait_for_keys(10)
        self.assertEqual((table["table"], table["partitions"], table["lag"], table["offsets"]), ("counts", 4, 0, 10))
        self.assertGreater(table["bytes"], 0)
        self.assertEqual([part["partition"] for part in table["of_partitions"]], [0, 1, 2, 3])
        self.assertEqual({part["member"].rsplit(":", 1)[1] for part in table["of_partitions"]}, {"0", "1"})
        self.assertEqual(self.counts(), dict.fromkeys(CUSTOMERS, 1))
        for words in (["reset"], ["reset", "--changelog"]):
            refused = self.shop(*words)
            self.assertEqual(refused.returncode, 1, refused)
            self.assertRegex(refused.stderr, rf"^Error: worker \S+:{worker.pid} of shop runs: stop it first$")

        following = self.start(SHOP, "table", "counts", "c3", "--follow", folder=self.place, name="follow")
        following.wait_for(r'"key":"c3","value":1\}$', stream="stdout")
        self.order("c4")
        self.order("c3")
        following.wait_for(r'"key":"c3","value":2\}$', stream="stdout")
        self.assertNotIn("c4", following.stdout)
        following.signal(signal.SIGINT)
        self.assertEqual(following.wait(), 130)

        self.end(worker)
        table, = self.listed("tables")
        self.assertEqual((table["state"], table["keys"]), ("no worker on this machine", None))
        self.assertEqual(self.counts(), dict.fromkeys(CUSTOMERS, 1) | {"c3": 2, "c4": 2}, "it needs no worker")

    def test_a_reset_costs_a_restore_and_with_the_changelog_the_state(self):
        worker = self.start_shop()
        for customer in CUSTOMERS:
            self.order(customer)
        self.wait_for_keys(10)
        self.end(worker)
        would = self.listed("reset", "--dry-run")
        self.assertEqual([(row["what"], row["partition"]) for row in would], [("store", number) for number in range(4)])
        self.assertEqual(self.listed("reset"), would)
        worker = self.start_shop()
        self.wait_for_keys(10)
        worker.signal(signal.SIGKILL)
        worker.wait()
        self.assertEqual({row["what"] for row in self.listed("reset", "--changelog")},
                         {"store", "changelog"})
        missing = self.shop("table", "counts")
        self.assertEqual((missing.returncode, missing.stdout), (1, ""))
        self.start_shop()
        self.wait_for_keys(0)
        self.order("c3")
        self.wait_for_keys(1)
        self.assertEqual(self.counts(), {"c3": 1}, "the offsets stayed")

    def test_a_worker_that_is_stopped_keeps_its_stores(self):
        worker = self.start_shop()
        self.order("c1")
        self.wait_for_keys(1)
        worker.signal(signal.SIGSTOP)  # its socket does not answer
        refused = self.shop("reset")
        self.assertEqual(refused.returncode, 1, refused)
        self.assertRegex(refused.stderr, r"(?m)^Error: the store of shop-counts-changelog partition \d .* is in use by")
        worker.signal(signal.SIGCONT)
        self.end(worker)
        self.assertEqual(self.counts(), {"c1": 1})

    def test_help_completion_and_manual_page_have_them(self):
        for command in ("tables", "table", "reset"):
            self.assertIn(f"Usage: shop_app {command}", self.shop(command, "--help").stdout)
            self.assertRegex(self.shop("man").stdout, rf"(?m)\b{command}\b")
            for shell in ("bash", "zsh", "fish"):
                self.assertRegex(self.shop("completion", shell).stdout, rf"\b{command}\b")
        for option in ("--follow", "--prefix", "--limit", "--changelog", "--dry-run"):
            words = ["reset", "--help"] if option in ("--changelog", "--dry-run") else ["table", "--help"]
            self.assertIn(option, self.shop(*words).stdout)


if __name__ == "__main__":
    unittest.main()
