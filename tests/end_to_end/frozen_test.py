"""A process keeps the log's write lock, or the log is taken away: a worker reports it, and a stop ends the worker
whatever it waits for."""
import os
import pathlib
import shutil
import signal
import subprocess
import time
import unittest

from support import BIN, HORTON, Scene, no_core

CHILD = BIN.parent / "tests/local_child"
DRAIN = 1
MOMENT = 5.5  # a worker ends itself after this time, with a margin for a busy machine


class Holder:
    """A process that is in a write and not stopped; a process in a paused container looks like this."""

    def __init__(self, folder):
        self.child = subprocess.Popen([CHILD, f"local://{folder}/horton-data/log", "hang-in-write"],
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, preexec_fn=no_core)
        assert self.child.stdout.readline() == "writing\n"
        self.pid = self.child.pid

    def let_go(self):
        self.child.communicate("go on\n", timeout=20)

    def end(self):
        if self.child.poll() is None:
            self.child.kill()
        self.child.communicate()


class Frozen(Scene):
    def setUp(self):
        self.place = self.folder / self.id().rsplit(".", 1)[1]
        self.place.mkdir()
        self.url = self.start_market()

    def hold(self):
        holder = Holder(self.place)
        self.addCleanup(holder.end)
        return holder

    def worker(self, more="", ready=True):
        self.config(self.url, f"  rate: unlimited\ndrain_timeout: {DRAIN}s\n{more}", folder=self.place)
        return self.start_worker("--shards", "2", folder=self.place, ready=ready)

    def stop(self, worker, expected=1):
        before = time.monotonic()
        worker.signal(signal.SIGTERM)
        self.assertEqual(worker.wait(), expected, worker.stderr)
        self.assertLess(time.monotonic() - before, DRAIN + MOMENT, worker.stderr)

    def make_log(self):
        self.config(self.url, folder=self.place)
        worker = self.start_worker(folder=self.place)
        worker.signal(signal.SIGTERM)
        self.assertEqual(worker.wait(), 0, worker.stderr)

    def test_a_stop_while_the_topics_are_declared(self):
        self.make_log()
        holder = self.hold()
        self.config(self.url, f"drain_timeout: {DRAIN}s\ntopic_partitions: 8\n", folder=self.place)
        worker = self.start_worker("--shards", "2", folder=self.place, ready=False)
        worker.wait_for(f"process {holder.pid} \\(local_child\\) holds its write lock since")
        worker.signal(signal.SIGTERM)
        before = time.monotonic()
        worker.wait()
        self.assertLess(time.monotonic() - before, DRAIN + MOMENT, worker.stderr)

    def test_a_stop_while_it_leaves_its_group(self):
        for guarantee in ("at_least_once", "exactly_once"):
            with self.subTest(guarantee):
                worker = self.worker(f"processing_guarantee: {guarantee}\n")
                worker.wait_for(r"\{0-7\}")
                holder = self.hold()
                self.stop(worker)
                self.assertIn("drain_timeout", worker.stderr)
                holder.end()

    def test_a_stop_while_a_commit_waits_says_who_holds_the_lock(self):
        for guarantee in ("at_least_once", "exactly_once"):
            with self.subTest(guarantee):
                # so that the commit comes after the lock is gone
                self.url = self.start_market("--slow", "1", "--slow-ms", "3000")
                worker = self.worker(f"processing_guarantee: {guarantee}\nbroker_commit_interval: 100ms\n")
                self.assertEqual(self.horton("start-collect-securities", folder=self.place).returncode, 0)
                worker.wait_for("Start collect securities")
                holder = self.hold()
                worker.wait_for(f"(Cannot commit|Cannot append to the log).*process {holder.pid} \\(local_child\\) "
                                "holds its write lock since")
                self.assertIn(f"process {holder.pid}", self.horton("why", folder=self.place).stdout)
                self.stop(worker)
                holder.end()

    def test_a_second_signal_ends_it_at_once(self):
        worker = self.worker()
        worker.wait_for(r"\{0-7\}")
        self.hold()
        worker.signal(signal.SIGTERM)
        worker.wait_for("SIGTERM: stopping")
        before = time.monotonic()
        worker.signal(signal.SIGTERM)
        self.assertEqual(worker.wait(), 128 + signal.SIGTERM)
        self.assertLess(time.monotonic() - before, 1)

    def test_a_command_that_sends_ends_in_time_after_a_signal(self):
        self.make_log()
        holder = self.hold()
        self.config(self.url, f"drain_timeout: {DRAIN}s\n", folder=self.place)
        for number in (signal.SIGINT, signal.SIGTERM):
            sender = self.start(HORTON, "send", "@collect_securities", folder=self.place, name="send")
            sender.wait_for(f"process {holder.pid} \\(local_child\\) holds its write lock since")
            before = time.monotonic()
            sender.signal(number)
            self.assertEqual(sender.wait(), 128 + number, sender.stderr)
            self.assertLess(time.monotonic() - before, DRAIN + MOMENT, sender.stderr)
            self.assertIn("\nError: not all that was sent is in the log: the log did not take it within 1.0 s (setting "
                          "drain_timeout)\n", sender.stderr)

    def test_it_goes_on_when_the_lock_is_free_and_loses_nothing(self):
        worker = self.worker("broker_commit_interval: 100ms\n")
        holder = self.hold()
        time.sleep(7)  # by then it is refused
        holder.let_go()
        self.assertEqual(self.horton("start-collect-securities", folder=self.place).returncode, 0)
        worker.wait_for("Listed 237 securities")
        self.stop(worker, 0)

    def test_a_folder_that_is_removed_ends_it_with_1_within_seconds(self):
        for name in ("horton-data", "horton-data/log", "horton-data/v1"):
            with self.subTest(name):
                worker = self.worker()
                worker.wait_for(r"\{0-7\}")
                shutil.rmtree(self.place / name)
                before = time.monotonic()
                self.assertEqual(worker.wait(), 1, worker.stderr)
                self.assertLess(time.monotonic() - before, 5 + MOMENT)
                self.assertRegex(worker.stderr, "Error: the (log in|data folder) .*removed or replaced")
                shutil.rmtree(self.place / "horton-data", ignore_errors=True)

    def test_a_full_disk_is_reported_once_and_then_ever_more_rarely(self):
        mount = self.place / "small"
        mount.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m,mode=0700", "tmpfs", mount], check=True)
        self.addCleanup(subprocess.run, ["umount", "-l", mount], check=True)
        self.config(self.url, f"  rate: unlimited\ndatadir: {mount}/data\nbroker_commit_interval: 100ms\n",
                    folder=self.place)
        worker = self.start_worker("--shards", "1", folder=self.place)
        filler = mount / "filler"
        with open(filler, "wb") as file:
            try:
                while True:
                    file.write(b"x" * 65536)
                    file.flush()
            except OSError:
                pass
        sent = subprocess.Popen([str(BIN / "horton"), "send", "@collect_securities"], cwd=self.place,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(sent.communicate)
        self.addCleanup(sent.kill)
        time.sleep(8)  # the time that is measured
        sent.kill()
        told = [line for line in (worker.stderr + sent.communicate()[1].decode()).splitlines()
                if "disk is full" in line]
        self.assertLessEqual(len(told), 4, told)
        self.assertTrue(told, worker.stderr)
        os.truncate(filler, 0)
        self.assertEqual(self.horton("start-collect-securities", folder=self.place).returncode, 0)
        worker.wait_for("Listed 237 securities")


if __name__ == "__main__":
    unittest.main()
