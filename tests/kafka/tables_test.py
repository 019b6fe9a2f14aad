"""Tables with Kafka as the log: a changelog that changes, and standbys."""
import json
import signal
import unittest

from cluster import KAFKA_CONFIGS, KAFKA_DELETE_RECORDS, TESTS, Cluster

import standbys_test
from support import Scene, run, wait_for

SHOP = TESTS / "shop_app"
CHANGELOG = "shop-counts-changelog"


def setUpModule():
    global cluster
    cluster = Cluster()


class Standbys(standbys_test.Standbys):
    def setUp(self):
        super().setUp()
        cluster.delete_topics("orders|shop-.*")
        self.settings = ("--set", f"broker={cluster.url}", "--set", "broker_session_timeout=6s")


class Changelog(Scene):
    def setUp(self):
        cluster.delete_topics("orders|shop-.*")
        self.place = self.folder / self.id().rsplit(".", 1)[1]
        self.place.mkdir()

    def shop(self, *words):
        return run(SHOP, *words, "--set", f"broker={cluster.url}", folder=self.place)

    def start_shop(self):
        return self.start(SHOP, "worker", "--shards", 1, "--set", f"broker={cluster.url}", "--set", "store=rocksdb://",
                          "--set", "broker_commit_interval=0.1s", folder=self.place, name="shop")

    def count(self, orders):
        """Runs a worker until it has counted these orders."""
        worker = self.start_shop()
        worker.wait_for(r" - Worker ready$")
        before = sum(self.counts().values())
        for number in range(orders):
            sent = self.shop("send", "orders", json.dumps({"customer": f"c{number}", "price": 1}), "--key", f"c{number}")
            self.assertEqual(sent.returncode, 0, sent.stderr)
        wait_for(lambda: sum(self.counts().values()) == before + orders, self.counts)
        worker.signal(signal.SIGTERM)
        self.assertEqual(worker.wait(), 0, worker.stderr)

    def counts(self):
        return {row["key"]: row["value"] for row in json.loads(self.shop("table", "counts", "--json").stdout or "[]")}

    def set_policy(self, policy):
        cluster.tool(KAFKA_CONFIGS, "--alter", "--topic", CHANGELOG, "--add-config", f"cleanup.policy={policy}")

    def refused(self):
        worker = self.start_shop()
        self.assertEqual(worker.wait(), 1, worker.stderr)
        self.assertRegex(worker.stderr, r"the store of table counts, partition \d does not fit its changelog")
        return worker.stderr

    def test_that_was_deleted(self):
        self.count(12)
        cluster.delete_topics(CHANGELOG)
        self.assertIn("was deleted, made anew or cut", self.refused())
        self.assertEqual(self.shop("reset").returncode, 0)
        self.count(12)
        self.assertEqual(set(self.counts().values()), {1}, "what the topic has was accepted")

    def test_that_was_made_anew_and_is_longer(self):
        self.count(12)
        cluster.delete_topics(CHANGELOG)
        place, self.place = self.place, self.folder / "elsewhere"
        self.place.mkdir()
        self.count(12)  # by a worker without a store
        self.count(12)
        self.place = place
        self.assertIn("is another one", self.refused())

    def test_that_was_cut(self):
        self.count(12)
        place, self.place = self.place, self.folder / "elsewhere2"
        self.place.mkdir()
        self.count(12)
        offsets = self.place / "offsets.json"
        offsets.write_text(json.dumps({"version": 1, "partitions": [
            {"topic": CHANGELOG, "partition": number, "offset": -1} for number in range(4)]}))
        # Kafka deletes no records of a topic that is only compacted; the tool tells it in its output.
        self.set_policy("[compact,delete]")
        self.assertNotIn("error", cluster.tool(KAFKA_DELETE_RECORDS, "--offset-json-file", offsets))
        self.set_policy("compact")
        self.place = place
        self.assertRegex(self.refused(), r"the store is at offset \d+, and the topic begins at \d+")


if __name__ == "__main__":
    unittest.main()
