"""The effects of signals on a worker and on commands."""
import json
import signal
import subprocess
import unittest

from support import HORTON, LIMIT, Scene, environment, no_core, wait_for


class Signals(Scene):
    """Each test in a folder of its own, with a market that answers nothing for an hour."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.url = cls.start_market("--slow", "1", "--slow-ms", "3600000")

    def setUp(self):
        self.place = self.folder / self.id().rsplit(".", 1)[1]
        self.place.mkdir()
        self.config(self.url, "  deadline: 2h\ndrain_timeout: 1h\n", folder=self.place)

    def busy_worker(self, *options):
        """A worker whose agent waits for an answer."""
        worker = self.start(HORTON, "worker", "--shards", 1, *options, folder=self.place, name="worker")
        wait_for(lambda: self.horton("send", "@collect_securities", folder=self.place).stdout, "a log to send to")

        def at_work():
            self.assertIsNone(worker.child.poll(), worker.stderr)
            rows = json.loads(self.horton("why", "--json", folder=self.place).stdout or "[]")
            return any(reason["kind"] == "agent" for row in rows for reason in row["reasons"])
        wait_for(at_work, "the agent to be at work")
        return worker

    def ends_well(self, worker):
        self.assertIsNone(worker.child.poll(), worker.stderr)
        worker.signal(signal.SIGTERM)
        self.assertEqual(worker.wait(), 0, worker.stderr)

    def test_sighup_opens_the_log_file_anew(self):
        log, moved = self.place / "log.txt", self.place / "log.txt.1"
        worker = self.start(HORTON, "worker", "-l", "info", "-f", "log.txt", folder=self.place, name="worker")
        wait_for(lambda: log.exists() and "Worker ready" in log.read_text(), "the log file")
        for _ in range(2):
            log.rename(moved)
            worker.signal(signal.SIGHUP)
            wait_for(lambda: log.exists() and f"Log file {log} opened anew" in log.read_text(), "a new log file")
        self.ends_well(worker)
        self.assertIn("Stopped", log.read_text())
        self.assertNotIn("SIGTERM", moved.read_text())

    def test_sighup_where_the_file_cannot_be_opened_goes_on_with_the_old_one(self):
        (self.place / "logs").mkdir()
        worker = self.start(HORTON, "worker", "-l", "info", "-f", "logs/log.txt", folder=self.place, name="worker")
        log = self.place / "moved/log.txt"
        wait_for(lambda: (self.place / "logs/log.txt").exists()
                 and "Worker ready" in (self.place / "logs/log.txt").read_text(), "the log file")
        (self.place / "logs").rename(self.place / "moved")
        worker.signal(signal.SIGHUP)
        wait_for(lambda: "Cannot open the log file" in log.read_text(), "the reason in the old file")
        self.ends_well(worker)
        self.assertIn("Stopped", log.read_text())

    def test_sighup_does_not_end_a_worker_that_logs_to_standard_error(self):
        worker = self.start_worker(folder=self.place)
        worker.signal(signal.SIGHUP)
        self.horton("send", "@collect_securities", folder=self.place)
        worker.wait_for("Start collect securities")
        worker.signal(signal.SIGINT)
        worker.wait_for("SIGINT: stopping$")
        worker.signal(signal.SIGINT)
        worker.wait()

    def test_sigpipe_does_not_end_a_worker(self):
        worker = self.start_worker(folder=self.place)
        worker.signal(signal.SIGPIPE)
        self.ends_well(worker)

    def test_a_worker_goes_on_when_nobody_reads_its_output(self):
        child = subprocess.Popen([HORTON, "worker", "-l", "debug"], cwd=self.place, env=environment(),
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=no_core)
        self.addCleanup(child.wait, LIMIT)
        self.addCleanup(child.kill)
        child.stdout.close()
        child.stderr.close()
        wait_for(lambda: [row for row in json.loads(self.horton("lag", "--json", folder=self.place).stdout or "[]")
                          if row["owner"]], "partitions of the worker")
        sent = json.loads(self.horton("send", "@collect_securities", folder=self.place).stdout)
        place = f"{sent['topic']}/{sent['partition']}"
        wait_for(lambda: "agent collect_securities" in self.horton("why", place, folder=self.place).stdout,
                 "the worker to be at work")
        for number in (signal.SIGUSR1, signal.SIGHUP, signal.SIGTERM):
            child.send_signal(number)
        wait_for(lambda: child.poll() or child.send_signal(signal.SIGTERM), "the worker to end")
        self.assertEqual(child.wait(), 128 + signal.SIGTERM)

    def test_the_first_signal_says_what_is_waited_for_and_what_a_second_one_does(self):
        for number, options in ((signal.SIGINT, []), (signal.SIGTERM, ["-l", "crit", "-f", "log.txt"])):
            worker = self.busy_worker(*options)
            worker.signal(number)
            worker.wait_for(r"^Stopping: events in progress are finished first, within 1 h .*A second signal ends at once; unfinished events are delivered again\.$")
            worker.wait_for(r"^  collect_securities/\d waits at \d+: agent collect_securities(?: instance \d+)? waits for an HTTP answer$")
            self.assertIsNone(worker.child.poll())
            worker.signal(number)
            self.assertEqual(worker.wait(), 128 + number)

    def test_a_command_that_follows_ends_at_the_first(self):
        worker = self.start_worker(folder=self.place)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            self.assertEqual(self.horton("send", "collect_securities", "{}", folder=self.place).returncode, 0)
            following = self.start(HORTON, "topic", "collect_securities", "--follow", folder=self.place, name="topic")
            following.wait_for("collect_securities|\"offset\"", stream="stdout")
            following.signal(number)
            self.assertEqual(following.wait(), -number if number == signal.SIGHUP else 128 + number)
            self.assertEqual(following.stderr, "")
        worker.signal(signal.SIGINT)


if __name__ == "__main__":
    unittest.main()
