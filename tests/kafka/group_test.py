"""What the members of a group say of themselves, with Kafka as the log."""
import json
import re
import signal
import unittest

from cluster import Cluster
from support import Scene, wait_for


def setUpModule():
    global cluster
    cluster = Cluster()


TOPICS = "collect_.*|closes|horton-.*"


class Group(Scene):
    """One group after the other, with one partition in each topic."""

    def setUp(self):
        self.config(self.start_market(), f"broker: {cluster.url}\ntopic_partitions: 1\nbroker_session_timeout: 6s\n")

    def start_shards(self, number, *words):
        worker = self.start_worker("--shards", number, *words)
        self.addCleanup(worker.end)
        return worker

    def lag(self):
        return {f"{row['topic']}/{row['partition']}": row for row in self.rows("lag") if row["group"] == "horton"}

    def why(self, place):
        return self.horton("why", place).stdout

    def send(self):
        sent = json.loads(self.horton("send", "@collect_security_overview",
                                      '{"symbol": "IBM", "exchange": "NYSE"}').stdout)
        return f"{sent['topic']}/{sent['partition']}"


class Spare(Group):
    def test_a_spare_member_says_that_it_is_spare(self):
        worker = self.start_shards(9)  # for seven partitions
        worker.wait_for(r"(?s)(:\d is spare: group horton has no partition left for it; it takes over when "
                        r"another member leaves.*){2}")

        def states():
            return sorted((row["state"], row["after"]) for row in self.rows("rebalances"))
        wait_for(lambda: [state for state, _ in states()].count("spare") >= 2, states)
        self.assertEqual({after for state, after in states() if state == "spare"}, {0})
        self.assertGreater(max(after for _, after in states()), 0)


class Start(Group):
    PARTITIONS = 8

    def setUp(self):
        self.market = self.start_market()
        cluster.delete_topics(TOPICS)

    def test_the_shards_of_a_worker_start_their_partitions_once(self):
        """Even though the first member is alone in the group for a moment. Ten starts, because each is a race."""
        self.config(self.market, f"broker: {cluster.url}\ntopic_partitions: {self.PARTITIONS}\n")
        all_partitions = 6 * self.PARTITIONS + 1  # of six agents and the leader
        for shards in [2] * 6 + [4] * 4:
            worker = self.start_shards(shards, "--debug")

            def settled(members=shards):
                rows = self.rows("rebalances")
                return len(rows) >= members and all(row["state"] == "over" for row in rows) and rows
            rows = wait_for(settled, lambda: self.rows("rebalances"))
            self.assertEqual([row["reason"] for row in rows], ["start"] * shards, rows)
            self.assertEqual(sum(row["after"] for row in rows), all_partitions, rows)

            def started(of=worker):
                return re.findall(r"(\S+/\d+): \w+ -> running", of.stderr)
            wait_for(lambda: len(started()) >= all_partitions, lambda: sorted(started()))
            worker.signal(signal.SIGTERM)
            self.assertEqual(worker.wait(), 0)
            self.assertEqual(len(started()), all_partitions, sorted(started()))
            self.assertEqual(len(set(started())), all_partitions, sorted(started()))

    def test_workers_that_create_a_topic_at_the_same_time_with_other_partitions_take_the_first(self):
        for attempt in range(4):
            workers = []
            for partitions in (2, 5):
                folder = self.folder / f"{attempt}-{partitions}"
                folder.mkdir()
                self.config(self.market, f"broker: {cluster.url}\ntopic_partitions: {partitions}\n", folder=folder)
                workers.append(self.start_worker("--shards", 1, folder=folder, ready=False))
                self.addCleanup(workers[-1].end)
            for worker in workers:
                worker.wait_for(r" - Worker ready$")
            for worker in workers:
                worker.signal(signal.SIGTERM)
                self.assertEqual(worker.wait(), 0, worker.stderr)
            cluster.delete_topics(TOPICS)


class LagAndWhy(Group):
    def test_agree_before_and_after_a_commit_interval(self):
        for guarantee in ("at_least_once", "exactly_once"):
            with self.subTest(guarantee):
                worker = self.start_shards(1, "--set", f"processing_guarantee={guarantee}", "--set",
                                           "broker_commit_interval=3s")
                place = self.send()

                def committed(at=place):
                    row = self.lag().get(at)
                    return row if row and (row["lag"], row["uncommitted"]) == (0, 0) else None
                row = wait_for(committed, lambda: f"the commit: {self.lag()}\n{worker.stderr[-3000:]}")
                self.assertEqual(row["committed"], row["end"])
                self.assertEqual(self.why(place), f"{place}  is done up to its end, {row['end']}\n")
                worker.signal(signal.SIGTERM)
                self.assertEqual(worker.wait(), 0)
                self.assertEqual(self.lag()[place]["lag"], 0)

    def test_both_tell_what_is_done_and_not_committed(self):
        worker = self.start_shards(1, "--set", "broker_commit_interval=1h")
        place = self.send()

        def done():
            row = self.lag().get(place)
            return row if row and (row["lag"], row["uncommitted"]) == (1, 1) else None
        row = wait_for(done, lambda: f"the record to be done: {self.lag()}")
        self.assertEqual(self.why(place),
                         f"{place}  is done up to its end, {row['end']}; {row['end'] - 1} is committed so far\n")


if __name__ == "__main__":
    unittest.main()
