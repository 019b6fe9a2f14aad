"""Crontabs of real processes: each slot runs exactly once, whatever is killed at which step; and the command `cron`."""
import json
import os
import pathlib
import signal
import time
import unittest

from support import BIN, Scene, run, wait_for

APP = str(BIN.parent / "tests/cron_app")
# The steps of a slot, and the number of the passage at which it is killed: before and after its record is appended, before and
# after its run, and around the commits.
STEPS = {"cron.append": 4, "cron.appended": 4, "cron.run": 4, "cron.ran": 4, "local.before_commit": 60,
         "local.after_commit": 61}


class Ticking(Scene):
    session = "500ms"
    kills = 6

    def setUp(self):
        self.place = self.folder / self.id().rsplit(".", 1)[1]
        self.place.mkdir()

    def worker(self, guarantee, env=None):
        return self.start(APP, "worker", "--without-web", "-l", "info", "--set",
                          f"processing_guarantee={guarantee}", "--set", f"broker_session_timeout={self.session}", "--set",
                          "broker_commit_interval=100ms", folder=self.place, env=env, name="worker")

    def here(self, *words, code=0):
        got = run(APP, *words, folder=self.place)
        self.assertEqual(got.returncode, code, got.stdout + got.stderr)
        return got.stdout

    def ran(self):
        return [row["value"] for row in json.loads(self.here("topic", "ran", "--limit", "0", "--from", "start", "--json"))]

    def wait_for_slots(self, count, limit=60):
        wait_for(lambda: ("TICKING_BROKER" in os.environ or (self.place / "ticking-data/log").exists()) and
                 any(row["topic"] == "ran" for row in json.loads(self.here("topics", "--json"))), "the topic")
        return wait_for(lambda: len(set(self.ran())) >= count and self.ran(), lambda: f"{count} slots: {self.ran()}", limit)

    def check_each_once(self, ran):
        self.assertEqual(ran, list(range(ran[0], ran[0] + len(ran))), "each second once, in order")

    def test_a_kill_at_each_step_of_a_slot(self):
        for step, passages in STEPS.items():
            with self.subTest(step):
                self.place = self.folder / step
                self.place.mkdir()
                dying = self.worker("exactly_once", env={"MEPHISTO_CRASH_AT": f"{step}:{passages}"})
                self.assertEqual(dying.wait(60), -signal.SIGKILL, dying.stderr[-2000:])
                time.sleep(1.5)  # a downtime, with slots in it
                other = self.worker("exactly_once")
                before = len(self.wait_for_slots(1))
                self.check_each_once(self.wait_for_slots(before + 4))
                other.signal(signal.SIGTERM)
                self.assertEqual(other.wait(30), 0, other.stderr[-2000:])
                self.check_each_once(self.ran())

    def test_leaders_that_are_killed_in_turn(self):
        workers = [self.worker("exactly_once") for _ in range(3)]
        for _ in range(self.kills):
            seen = len(self.wait_for_slots(1))
            self.wait_for_slots(seen + 2)
            killed = workers.pop(0)
            killed.signal(signal.SIGKILL)
            workers.append(self.worker("exactly_once"))
        self.check_each_once(self.wait_for_slots(len(self.ran()) + 3))
        for worker in workers:
            worker.signal(signal.SIGTERM)
        for worker in workers:
            self.assertEqual(worker.wait(30), 0, worker.stderr[-2000:])
        self.check_each_once(self.ran())

    def test_at_least_once_no_slot_is_lost_and_a_stop_doubles_none(self):
        first = self.worker("at_least_once")
        self.wait_for_slots(3)
        first.signal(signal.SIGTERM)
        self.assertEqual(first.wait(30), 0)
        second = self.worker("at_least_once")
        self.check_each_once(self.wait_for_slots(8))
        second.signal(signal.SIGKILL)
        second.wait(30)
        self.worker("at_least_once")
        seen = self.wait_for_slots(len(set(self.ran())) + 4)
        self.assertEqual(sorted(set(seen)), list(range(min(seen), max(seen) + 1)), "none is lost")

    def test_the_command_cron(self):
        listed = json.loads(self.here("cron", "list", "--json"))
        self.assertEqual([(row["name"], row["expression"], row["timezone"], row["catch_up"]) for row in listed],
                         [("tick", "* * * * * *", "UTC", "all"), ("yearly", "0 0 1 1 *", "Europe/Berlin", "none")])
        slots = json.loads(self.here("cron", "next", "3", "--json"))
        self.assertEqual([row["name"] for row in slots], ["tick"] * 3)
        self.assertEqual(json.loads(self.here("cron", "history", "--json")), [])
        self.here("cron", "run-now", "yearly", code=1)
        worker = self.worker("exactly_once")
        worker.wait_for(r"Cron: 2 jobs; the time zone data is 20\d\d\w+")
        self.here("cron", "run-now", "yearly")
        (row,) = wait_for(lambda: json.loads(self.here("cron", "history", "yearly", "--json")), "the run")
        self.assertEqual((row["outcome"], row["manual"], row["attempts"]), ("ok", True, 1))
        for words in (["cron", "run-now", "yearli"], ["cron", "lst"], ["cron", "next", "none"], ["cron", "run-now"]):
            self.here(*words, code=2)
        self.assertIn("| tick ", self.here("cron", "list"))

    def test_workers_with_other_zone_data_warn(self):
        first = self.worker("exactly_once")
        self.wait_for_slots(2)
        zones = self.folder / "zoneinfo"
        zones.mkdir()
        for name in os.listdir("/usr/share/zoneinfo"):
            if name != "tzdata.zi":
                (zones / name).symlink_to(f"/usr/share/zoneinfo/{name}")
        index = pathlib.Path("/usr/share/zoneinfo/tzdata.zi").read_text().split("\n", 1)[1]
        (zones / "tzdata.zi").write_text("# version 1999z\n" + index)
        other = self.worker("exactly_once", env={"TZDIR": str(zones)})
        other.wait_for(r"WARNING .*the time zone data 20\d\d\w+, and this worker has 1999z: times in .*UTC.* may differ")
        first.signal(signal.SIGTERM)
        self.assertEqual(first.wait(30), 0)


if __name__ == "__main__":
    unittest.main()
