"""Transactions that other programs have left open: what they block, that they are named, and that a hanging one is
ended."""
import json
import unittest

from cluster import TESTS, Cluster
from raw import Client
from support import MEPHISTO, Scene, run, wait_for

CHAOS = str(TESTS / "chaos_app")
GROUP = "chaos"


def setUpModule():
    global cluster, port
    cluster = Cluster()
    port = int(cluster.url.rpartition(":")[2])
    # Before Kafka 3.6, or if a client or broker has a bug, a transaction may hang; this setting makes that possible.
    cluster.tool("kafka.admin.ConfigCommand", "--alter", "--entity-type", "brokers", "--entity-default", "--add-config",
                 "transaction.partition.verification.enable=false")


class Transactions(Scene):
    def setUp(self):
        """A worker has worked, and other programs may write to its topic."""
        self.worker = self.start_chaos()

    def tearDown(self):
        self.worker.end()

    def start_chaos(self):
        worker = self.start(CHAOS, *self.settings(), "worker", "--without-web", "-l", "info", "--shards", "1",
                            name="worker")
        worker.wait_for(r"(?s)Worker ready.*\{\d.*\}")
        return worker

    @staticmethod
    def settings():
        return ("--set", f"broker={cluster.url}", "--set", "broker_commit_interval=50ms",
                "--set", "broker_session_timeout=2s")

    def chaos(self, *words):
        got = run(CHAOS, *self.settings(), *words, folder=self.folder)
        self.assertEqual(got.returncode, 0, got)
        return got.stdout

    def tool(self, *words, code=0):
        got = run(MEPHISTO, "--log", cluster.url, *words, folder=self.folder)
        self.assertEqual(got.returncode, code, got)
        return got

    def send(self, partition):
        record = {"producer": "p", "key": "k", "seq": 0}
        sent = json.loads(self.tool("send", "in", json.dumps(record), "--partition", partition).stdout)
        return sent["offset"]

    def committed(self, partition, offset):
        """Waits until the group has committed that offset."""
        rows = []

        def look():
            rows[:] = json.loads(self.tool("--json", "lag").stdout)
            return any((row["group"], row["topic"], row["partition"],
                        row["committed"]) == (GROUP, "in", partition, offset) for row in rows)
        wait_for(look, lambda: f"in/{partition} to be committed at {offset}: {rows}\n{self.worker.stderr[-2000:]}")

    def reason(self, partition):
        """The reason that `why` gives for the partition's waiting, once it gives one."""
        def look():
            (row,) = json.loads(self.chaos("--json", "why", f"in/{partition}"))
            return next((reason["text"] for reason in row["reasons"] if reason["kind"] == "transaction"), None)
        return wait_for(
            look,
            lambda: f"why of in/{partition} to name a transaction: {self.chaos('--json', 'why', f'in/{partition}')}")

    def listed(self, client):
        return [row for row in json.loads(self.tool("--json", "transactions").stdout)
                if row["producer"] == client.producer]

    def test_one_that_hangs_in_a_topic_is_named_and_ended(self):
        client = Client(port, "crashed")
        start = client.write("in", 0, b"{}")
        behind, beside = self.send(0), self.send(1)
        self.committed(1, beside + 1)
        for text in (self.reason(0), self.chaos("why", "in/0")):
            for part in (f"producer {client.producer} (transactional id crashed) hangs from offset {start} of in/0 on "
                         "since 20", f"transactions end in/0 {start}"):
                self.assertIn(part, text)
        (row,) = self.listed(client)
        self.assertEqual((row["topic"], row["partition"], row["start"], row["id"], row["hangs"]),
                         ("in", 0, start, "crashed", "yes"))
        self.tool("transactions", "end", "in/0", str(start + 1), code=1)
        self.assertIn("do not count", self.tool("transactions", "end", "in/0", str(start)).stdout)
        self.committed(0, behind + 2)  # the marker that ends it has an offset
        self.assertEqual(self.listed(client), [])

    def test_one_that_is_open_is_named_and_left_to_its_coordinator(self):
        name = "at-work-" + "w" * 120
        client = Client(port, name)
        client.begin("in", 2)
        start = client.write("in", 2, b'{"producer":"q","key":"k","seq":1}')
        self.send(2)
        text = self.reason(2)
        self.assertIn(f"producer {client.producer} (transactional id {name[:90]}", text)
        self.assertIn(f" is open from offset {start} of in/2 on since 20", text)
        self.assertNotIn("transactions end", text)
        (row,) = self.listed(client)
        self.assertEqual((row["id"], row["state"], row["hangs"]), (name, "Ongoing", "no"))
        self.assertIn("does not hang", self.tool("transactions", "end", "in/2", str(start), code=1).stderr)
        client.end(True)
        self.committed(2, start + 3)

    def test_one_that_hangs_with_a_groups_offset_holds_up_that_partition_only(self):
        first = self.send(3)
        self.committed(3, first + 1)
        self.worker.end()
        client = Client(port, "half-committed")
        client.commit(GROUP, "in", 3, first + 1)
        self.worker = self.start_chaos()
        end = (rf"in/3 waits: its committed offset is not known: a transaction of producer {client.producer} "
               r"\(transactional id half-committed\) hangs from offset (\d+) of (__consumer_offsets/\d+) on")
        start, place = self.worker.wait_for(end).groups()
        beside = self.send(4)
        self.committed(4, beside + 1)
        behind = self.send(3)
        self.assertIn(f"transactions end {place} {start}", self.reason(3))
        self.assertNotIn("with member", self.chaos("why", "in/3"))
        self.assertEqual(self.tool("--json", "transactions", "end", place, start).stdout,
                         f'[{{"topic":"{place.split("/")[0]}","partition":{place.split("/")[1]},"start":{start}}}]\n')
        self.committed(3, behind + 1)


if __name__ == "__main__":
    unittest.main()
