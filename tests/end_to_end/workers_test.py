"""How workers end, share and take over."""
import json
import pathlib
import re
import signal
import subprocess
import time
import unittest

from support import AGENTS, LIMIT, PARTITIONS, Scene, wait_for


class Workers(Scene):
    """How workers end, share and take over; each test in a folder of its own."""

    def setUp(self):
        self.place = self.folder / self.id().rsplit(".", 1)[1]
        self.place.mkdir()
        self.url = self.start_market()
        self.config(self.url, folder=self.place)

    def owners(self):
        """The partitions by the workers' process ids."""
        owners = {}
        for row in json.loads(self.horton("--json", "lag", folder=self.place).stdout):
            if row["owner"] and row["topic"] in AGENTS:
                owners.setdefault(int(row["owner"].split(":")[1]), set()).add((row["topic"], row["partition"]))
        return owners

    def test_sigterm_and_sigint_stop_it_with_0(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            worker = self.start_worker(folder=self.place)
            worker.wait_for(r"\{0-7\}")
            worker.signal(number)
            self.assertEqual(worker.wait(), 0, worker.stderr)
            self.assertRegex(worker.stderr, rf"{number.name}: stopping\n(.*\n)*.*Stopped\n$")

    def test_sigterm_waits_for_what_is_processed_only_as_long_as_drain_timeout(self):
        worker = self.stuck_worker("drain_timeout: 1s\n")
        worker.signal(signal.SIGTERM)
        self.assertEqual(worker.wait(), 0, worker.stderr)

    def test_sigterm_does_not_wait_for_the_request_budget_and_nothing_is_lost(self):
        self.config(self.url, "  rate: 1/d\n", folder=self.place)
        worker = self.start_worker(folder=self.place)
        self.assertEqual(self.horton("start-collect-securities", folder=self.place).returncode, 0)
        worker.wait_for("The request budget is spent: waiting until ")
        worker.wait_for("Listed 237 securities")
        before = time.monotonic()
        worker.signal(signal.SIGTERM)
        self.assertEqual(worker.wait(), 0, worker.stderr)
        self.assertLess(time.monotonic() - before, 3, worker.stderr)
        self.assertNotIn("will be delivered again", worker.stderr)
        self.config(self.url, "  rate: unlimited\n", folder=self.place)
        self.start_worker(folder=self.place)
        followed = self.horton("progress", "--follow", "--timeout", LIMIT, folder=self.place)
        self.assertEqual(followed.returncode, 0, followed)
        (progress,) = self.rows("progress", folder=self.place)
        self.assertEqual((progress["listed"], progress["checked"]), (237, 237))
        self.assertNotIn("seconds", progress, "only --follow measures them")

    def test_sigterm_lets_end_what_is_processed(self):
        self.config(self.start_market("--slow", "1", "--slow-ms", "1500"), "drain_timeout: 50s\n", folder=self.place)
        worker = self.start_worker(folder=self.place)
        sent = json.loads(self.horton("send", "@collect_securities", folder=self.place).stdout)
        worker.wait_for("Start collect securities")
        worker.signal(signal.SIGTERM)
        self.assertEqual(worker.wait(), 0, worker.stderr)
        self.assertRegex(worker.stderr, r"stopping\n(.*\n)*.*Listed 237 securities\n")
        committed = [row["committed"] for row in self.rows("lag", folder=self.place)
                     if (row["topic"], row["partition"]) == ("collect_securities", sent["partition"])]
        self.assertEqual(committed, [sent["offset"] + 1])

    def test_a_second_signal_ends_it_at_once_and_loses_nothing(self):
        worker = self.stuck_worker("drain_timeout: 1h\n")
        worker.signal(signal.SIGTERM)
        worker.wait_for("SIGTERM: stopping$")
        worker.signal(signal.SIGINT)
        self.assertEqual(worker.wait(), 128 + signal.SIGINT)
        self.assertIn("Second signal: ending at once; unfinished events will be delivered again.", worker.stderr)
        self.config(self.url, folder=self.place)
        self.start_worker(folder=self.place).wait_for("Listed 237 securities")

    def test_lag_shows_the_age_of_the_oldest_record_that_is_not_done(self):
        self.stuck_worker("")
        (row,) = [row for row in self.rows("lag", folder=self.place) if row["lag"] and "leader" not in row["topic"]]
        self.assertEqual((row["topic"], row["end"], row["committed"] or 0, row["lag"]), ("collect_securities", 1, 0, 1))
        self.assertIsInstance(row["oldest_unacknowledged"], int)
        self.assertLess(row["oldest_unacknowledged"], 1000 * LIMIT)

    def stuck_worker(self, more):
        """A worker whose agent waits for an answer that takes an hour."""
        self.config(self.start_market("--slow", "1", "--slow-ms", "3600000"), "  deadline: 2h\n" + more,
                    folder=self.place)
        worker = self.start_worker(folder=self.place)
        self.horton("send", "@collect_securities", folder=self.place)
        worker.wait_for("Start collect securities")
        return worker

    def test_what_was_not_done_is_done_by_the_next_worker(self):
        worker = self.start_worker(folder=self.place)
        worker.signal(signal.SIGTERM)
        worker.wait()
        self.assertEqual(self.horton("start-collect-securities", folder=self.place).returncode, 0)
        self.start_worker(folder=self.place).wait_for("Listed 237 securities")

    def test_a_second_worker_shares_and_takes_over(self):
        first = self.start_worker(folder=self.place)
        second = self.start_worker(folder=self.place)
        everything = {(topic, number) for topic in AGENTS for number in range(8)}

        def shared():
            owners = self.owners()
            return (set(owners) == {first.pid, second.pid} and set.union(*owners.values()) == everything
                    and [len(one) for one in owners.values()] == [8, 8])
        wait_for(shared, lambda: f"two owners with one half each: {self.owners()}")
        first.signal(signal.SIGKILL)
        first.wait()
        wait_for(lambda: self.owners() == {second.pid: everything}, lambda: f"the second to have all: {self.owners()}")
        sent = json.loads(self.horton("send", "@collect_securities", folder=self.place).stdout)
        second.wait_for("Start collect securities")
        self.assertEqual(sent["offset"], 0)

    def test_sigusr1_shows_what_tasks_wait_for(self):
        worker = self.start_worker("--shards", 1, folder=self.place)
        worker.wait_for(r"\{0-7\}")
        worker.signal(signal.SIGUSR1)
        worker.wait_for(r"^collect_security_overview: waits for .+ since ")
        worker.wait_for(r"consumed = acked \+ in flight \+ dead-lettered \+ skipped")
        for equation in re.findall(r"\): (\d+) = (\d+) \+ (\d+) \+ (\d+) \+ (\d+)", worker.stderr):
            consumed, *parts = map(int, equation)
            self.assertEqual(consumed, sum(parts))
        worker.wait_for(rf"^restoring -> running: {PARTITIONS}$")
        self.assertIsNone(worker.child.poll())

    def test_collect_needs_no_key_where_a_worker_has_one(self):
        (self.place / "config.yml").unlink()
        self.start_worker("--set", f"service.apiendpoint={self.url}", folder=self.place).wait_for(r"\{0-7\}")
        got = self.horton("collect", "--symbol", "IBM", "--exchange", "NYSE", "--timeout", LIMIT, folder=self.place)
        self.assertIn("IBM on NYSE is not listed", got.stderr)

    def test_a_quiet_worker_prints_no_banner(self):
        worker = self.start_worker("-q", folder=self.place)
        self.assertEqual(worker.stdout, "")

    def test_an_idle_worker_uses_no_cpu(self):
        worker = self.start_worker(folder=self.place)
        worker.wait_for(r"\{0-7\}")

        def ticks():
            fields = pathlib.Path(f"/proc/{worker.pid}/stat").read_text().rsplit(")", 1)[1].split()
            return int(fields[11]) + int(fields[12])
        before = ticks()
        with self.assertRaises(subprocess.TimeoutExpired):
            worker.wait(3)
        self.assertLessEqual(ticks() - before, 6, "ticks of 10 ms in 3 s")


if __name__ == "__main__":
    unittest.main()
