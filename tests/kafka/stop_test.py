"""A worker is told to stop while its broker is frozen or gone. It ends in time, whatever it waits for, and a second
signal ends it at once. tests/log/kafka_stop_test.cc tests each kind of unanswered request on a stand-in."""
import itertools
import os
import re
import signal
import time
import unittest

from cluster import TESTS, Cluster
from support import Scene, wait_for

CHAOS = str(TESTS / "chaos_app")
DRAIN = 2  # seconds
AT_MOST = DRAIN + 4
GUARANTEES = ("at_least_once", "exactly_once")
# What the tasks of a worker wait for when the broker goes away in the midst of its work.
BUSY = {"at_least_once": "Kafka to accept a commit|Kafka to acknowledge sent records", "exactly_once": "a Kafka transaction"}


def setUpModule():
    global cluster
    cluster = Cluster()


class Stop(Scene):
    # A broker that is frozen or killed while it ends a transaction may leave it open for ever (Apache Kafka 4.3.1). It
    # then holds up the group that it belongs to, so each worker has a group of its own.
    groups = itertools.count(1)

    def settings(self, guarantee, drain=DRAIN):
        given = {"broker": cluster.url, "processing_guarantee": guarantee, "drain_timeout": f"{drain}s",
                 "broker_commit_interval": "50ms", "broker_session_timeout": "10s"}
        return [word for name, value in given.items() for word in ("--set", f"{name}={value}")]

    def worker(self, guarantee, ready=True, **given):
        worker = self.start(CHAOS, *self.settings(guarantee, **given), "worker", "--without-web", "-l", "info",
                            "--shards", "1", env={"GROUP_VERSION": str(next(self.groups))}, name="worker")
        if ready:
            worker.wait_for(r"(?s)Worker ready.*\{0-7\}")
        return worker

    def producer(self):
        """Starts a producer whose records are arriving."""
        acked = self.folder / "acked"
        acked.unlink(missing_ok=True)
        producer = self.start(CHAOS, *self.settings("at_least_once"), "produce", "--producer", "p", "--acked", acked,
                              "--count", "1000000", name="producer")
        wait_for(lambda: acked.exists() and acked.stat().st_size > 10_000, "records to flow")
        return producer

    def away(self, how):
        """The broker stops answering; after the test it answers again."""
        pid = int((cluster.folder / "cluster/node1/pid").read_text().split()[0])
        os.kill(pid, how)
        if how == signal.SIGSTOP:
            self.addCleanup(os.kill, pid, signal.SIGCONT)
        else:
            self.addCleanup(cluster.start)

    def shows(self, worker, pattern):
        """Waits until a dump of what the worker does matches the pattern."""
        def look():
            worker.signal(signal.SIGUSR1)
            time.sleep(0.1)  # between two dumps
            return re.search(pattern, worker.stderr.rpartition("--- shard 0: what every task does")[2])
        wait_for(look, lambda: f"{pattern} in a dump:\n{worker.stderr[-3000:]}")

    def waits_for(self, worker, what):
        """Waits until one of its tasks has waited like this for a while."""
        self.shows(worker, rf"waits for (?:{what}) since (?:[5-9]\d\d ms|\d+(?:\.\d+)? s)")

    def at_work(self, guarantee, **given):
        """Starts a worker that consumes what a producer sends."""
        worker, producer = self.worker(guarantee, **given), self.producer()
        self.shows(worker, r"copy in/\d+ \(running, generation \d+\): \d+ = [1-9]")
        return worker, producer

    def ends_in_time(self, worker, at_most=AT_MOST):
        started = time.monotonic()
        worker.signal(signal.SIGTERM)
        code = worker.wait()
        self.assertLess(time.monotonic() - started, at_most, worker.stderr[-3000:])
        self.assertIn(code, (0, 1), worker.stderr[-3000:])
        return code

    def test_2_before_it_has_started(self):
        for how in (signal.SIGSTOP, signal.SIGKILL):
            with self.subTest(how=how.name):
                self.away(how)
                worker = self.worker("at_least_once", ready=False)
                worker.wait_for("no broker .*can be reached")
                self.ends_in_time(worker)
                self.doCleanups()

    def test_1_while_nothing_is_to_be_done(self):
        for guarantee in GUARANTEES:
            with self.subTest(guarantee=guarantee):
                worker = self.worker(guarantee)
                self.away(signal.SIGSTOP)
                self.assertEqual(self.ends_in_time(worker), 0, "everything was committed")
                self.doCleanups()

    def test_3_in_the_midst_of_its_work(self):
        for guarantee in GUARANTEES:
            for how in (signal.SIGSTOP, signal.SIGKILL):
                with self.subTest(guarantee=guarantee, how=how.name):
                    worker, producer = self.at_work(guarantee)
                    self.away(how)
                    self.waits_for(worker, BUSY[guarantee])
                    self.assertEqual(self.ends_in_time(worker), 1)
                    self.assertRegex(worker.stderr, "(?m)^Error: .*again")
                    producer.end()
                    self.doCleanups()

    def test_4_a_second_signal_ends_it_at_once(self):
        for guarantee in GUARANTEES:
            with self.subTest(guarantee=guarantee):
                worker, producer = self.at_work(guarantee, drain=3600)
                self.away(signal.SIGSTOP)
                self.waits_for(worker, BUSY[guarantee])
                worker.signal(signal.SIGTERM)
                worker.wait_for("SIGTERM: stopping")
                started = time.monotonic()
                worker.signal(signal.SIGTERM)
                self.assertEqual(worker.wait(), 128 + signal.SIGTERM)
                self.assertLess(time.monotonic() - started, 1)
                producer.end()
                self.doCleanups()

    def test_5_a_command_that_sends(self):
        for how in (signal.SIGSTOP, signal.SIGKILL):
            with self.subTest(how=how.name):
                producer = self.producer()
                self.away(how)
                started = time.monotonic()
                producer.signal(signal.SIGINT)
                self.assertEqual(producer.wait(), 128 + signal.SIGINT, producer.stderr)
                self.assertLess(time.monotonic() - started, AT_MOST, producer.stderr)
                self.assertIn("Error: not all that was sent is in the log", producer.stderr)
                self.doCleanups()


if __name__ == "__main__":
    unittest.main()
