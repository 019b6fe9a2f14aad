"""`why` and `rebalances`: what a running worker reports about an offset that does not move, and about how partitions
moved."""
import json
import os
import re
import signal
import socket
import stat
import time
import unittest

from support import LIMIT, PARTITIONS, Scene, wait_for


class Why(Scene):
    """Each test in a folder of its own."""

    def setUp(self):
        self.place = self.folder / self.id().rsplit(".", 1)[1]
        self.place.mkdir()

    def stuck_worker(self, *options):
        """A worker whose agent waits for an answer that takes an hour, and the position of the record."""
        self.config(self.start_market("--slow", "1", "--slow-ms", "3600000"), "  deadline: 2h\n", folder=self.place)
        worker = self.start_worker("--shards", 1, *options, folder=self.place)
        worker.wait_for(r"\{0-7\}")
        sent = json.loads(self.horton("send", "@collect_securities", folder=self.place).stdout)
        worker.wait_for("Start collect securities")
        return worker, f"{sent['topic']}/{sent['partition']}", sent

    def why(self, *words):
        got = self.horton("why", *words, folder=self.place)
        self.assertEqual((got.returncode, got.stderr), (0, ""), got)
        return got.stdout

    def sockets(self):
        return list((self.place / "horton-data/v1/workers").iterdir())

    def test_an_agent_that_hangs_is_named_with_what_it_waits_for(self):
        worker, place, sent = self.stuck_worker()
        for _ in range(2):
            self.horton("send", "@collect_securities", "--partition", sent["partition"], folder=self.place)
        line = rf"{place}  waits at 0 \([^)]+\): agent collect_securities(?: instance \d+)? waits for an HTTP answer; 2 records after it\n"
        self.assertRegex(self.why(), rf"\A{line}\Z")
        self.assertRegex(self.why(place), rf"\A{line}\Z")
        (row,) = self.rows("why", folder=self.place)
        self.assertEqual((row["topic"], row["partition"], row["end"], row["committed"], row["lag"], row["oldest"]),
                         (sent["topic"], sent["partition"], 3, None, 3, 0))
        self.assertEqual(row["member"].split(":")[1], str(worker.pid))
        self.assertEqual([reason["kind"] for reason in row["reasons"]], ["agent"])
        self.assertGreater(row["reasons"][0]["ms"], 0)
        self.assertEqual(len(self.rows("why", "@collect_securities", folder=self.place)), 8)
        # Only the user may read the answer, and it ends with its worker.
        (socket,) = self.sockets()
        self.assertEqual((stat.S_IMODE(socket.stat().st_mode), stat.S_IMODE(socket.parent.stat().st_mode)),
                         (0o600, 0o700))
        worker.signal(signal.SIGKILL)
        worker.wait()
        self.assertIn(f"{place}  waits at 0", self.why())
        after = self.start_worker("--shards", 1, folder=self.place)
        self.assertEqual([one.name for one in self.sockets()], [socket.name.replace(str(worker.pid), str(after.pid))])
        after.signal(signal.SIGTERM)
        after.wait()
        self.assertEqual(self.sockets(), [])

    def test_askers_that_say_nothing_or_nonsense_keep_nobody_waiting(self):
        self.config("http://127.0.0.1:1", folder=self.place)
        worker = self.start_worker("--shards", 1, folder=self.place)
        worker.wait_for(r"\{0-7\}")
        (path,) = self.sockets()
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(path.parent)  # a socket's address has to be short

        def asker(text=b""):
            one = socket.socket(socket.AF_UNIX)
            self.addCleanup(one.close)
            one.settimeout(LIMIT)
            one.connect(path.name)
            one.sendall(text)
            return one
        silent = [asker() for _ in range(12)]
        begun = time.monotonic()
        for _ in range(30):
            asker().close()
            asker(b"\0" * 5000).close()
            self.assertIn(b"there is no such request", asker(b"nonsense\n").recv(1000))
        with asker(b"status\n").makefile() as answer:
            self.assertEqual(json.loads(answer.readline())["app"], "horton")
        self.assertEqual(self.why(), "Nothing is stuck.\n")
        self.assertLess(time.monotonic() - begun, 4, "less than a worker's patience with one that is silent")
        self.assertEqual([one.recv(1) for one in silent], [b""] * 12, "they are left in the end")

    def test_all_workers_are_asked_at_once_and_a_silent_one_is_not_asked_again(self):
        self.config("http://127.0.0.1:1", folder=self.place)
        worker = self.start_worker("--shards", 1, folder=self.place)
        worker.signal(signal.SIGTERM)
        worker.wait()
        self.horton("send", "@collect_securities", folder=self.place)
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(self.place / "horton-data/v1/workers")  # a socket's address has to be short
        frozen = [socket.socket(socket.AF_UNIX) for _ in range(4)]
        for number, one in enumerate(frozen):
            self.addCleanup(one.close)
            one.settimeout(0)
            one.bind(f"frozen-{number}.sock")
            one.listen()

        def asked(one):
            connections = 0
            while True:
                try:
                    one.accept()[0].close()
                except BlockingIOError:
                    return connections
                connections += 1
        for words in (["rebalances"], ["lag"], ["why"]):
            begun = time.monotonic()
            got = self.horton(*words, folder=self.place)
            self.assertEqual(got.returncode, 0, got.stderr)
            self.assertEqual(got.stderr.count("the worker does not answer"), 4, got.stderr)
            self.assertEqual([asked(one) for one in frozen], [1] * 4, words)
            self.assertLess(time.monotonic() - begun, 9, "not twice a worker's patience, which is 5 s")
        self.assertIn("no worker of horton runs", got.stdout)

    def test_a_spent_request_budget_is_what_it_waits_for(self):
        self.config(self.start_market(), "  rate: 1/d\n", folder=self.place)
        worker = self.start_worker("--shards", 1, folder=self.place)
        self.horton("start-collect-securities", folder=self.place)
        worker.wait_for("The request budget is spent: waiting until ")
        self.assertRegex(self.why(), r"agent collect_security_overview(?: instance \d+)? waits for the request budget")

    def test_without_a_worker_the_log_says_what_it_can(self):
        self.config("http://127.0.0.1:1", folder=self.place)
        worker = self.start_worker("--shards", 1, folder=self.place)
        worker.wait_for(r"\{0-7\}")
        self.assertEqual(self.why(), "Nothing is stuck.\n")
        worker.signal(signal.SIGTERM)
        worker.wait()
        sent = json.loads(self.horton("send", "@collect_securities", "--partition", 3, folder=self.place).stdout)
        self.assertEqual(self.why(), f"{sent['topic']}/3  waits at 0: no worker of horton runs\n")
        self.assertEqual(self.horton("why", "collect_securitie", folder=self.place).returncode, 2)
        # A worker that keeps its data elsewhere cannot be asked.
        other = self.start_worker("--shards", 1, "--log", f"local://{self.place}/horton-data/log", "-D", "elsewhere",
                                  "--set", "service.apiendpoint=http://127.0.0.1:1", folder=self.place)
        other.wait_for(r"\{0-7\}")
        self.assertRegex(self.why(f"{sent['topic']}/3"), rf"no worker of horton on this machine has it; its owner is member [^ ]+:{other.pid}:0\n|is done up to its end")

    def test_rebalances_shows_who_came_and_what_it_took(self):
        self.config(self.start_market(), folder=self.place)
        first = self.start_worker("--shards", 1, folder=self.place)
        first.wait_for(rf"Rebalance of horton \(start\): 0 → {PARTITIONS} partitions in \d+ ms; nothing was read for \d+ ms "
                       r"\(drain 0, commit 0, release 0, group \d+\)$")
        second = self.start_worker("--shards", 1, folder=self.place)
        first.wait_for(rf"Rebalance of horton \([^ ]+:{second.pid}:0 joined\): {PARTITIONS} → \d+ partitions in \d+ ms; nothing "
                       r"was read for 0 ms \(drain \d+, commit \d+, release \d+, group \d+\)$")
        second.wait_for(r"Rebalance of horton \(start\): 0 → \d+ partitions")
        rows = self.rows("rebalances", folder=self.place)
        self.assertEqual([(row["member"].split(":")[1], row["reason"], row["before"]) for row in rows[:1]],
                         [(str(first.pid), "start", 0)])
        joined = f"{rows[0]['member'].split(':')[0]}:{second.pid}:0 joined"
        mine = [row for row in rows if row["member"].split(":")[1] == str(first.pid)]
        self.assertEqual([(row["reason"], row["before"], row["state"]) for row in mine],
                         [("start", 0, "over"), (joined, PARTITIONS, "over")])
        self.assertEqual(sum({row["member"]: row["after"] for row in rows}.values()), PARTITIONS)
        for row in rows:
            self.assertGreaterEqual(row["ms"], max(row["drain"], row["commit"], row["release"], row["unread"]))
        self.assertRegex(self.horton("rebalances", folder=self.place).stdout, rf"\| {joined} +\| +{PARTITIONS} \|")
        second.signal(signal.SIGKILL)
        first.wait_for(rf"Rebalance of horton \([^ ]+:{second.pid}:0 died\): \d+ → {PARTITIONS} partitions")

    def test_a_member_for_which_no_partition_is_left_says_that_it_is_spare(self):
        self.config(self.start_market(), "topic_partitions: 1\n", folder=self.place)
        worker = self.start_worker("--shards", 3, folder=self.place)
        worker.wait_for(r"[^ ]+:\d is spare: group horton has 3 members and no partition left for it; it takes over "
                        "when another member leaves$")

        def states():
            return sorted(row["state"] for row in self.rows("rebalances", folder=self.place)
                          if row["reason"] == "start")
        wait_for(lambda: "spare" in states() and "under way" not in states(), states)


if __name__ == "__main__":
    unittest.main()
