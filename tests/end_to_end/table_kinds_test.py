"""Rows that expire, sets and windows: another worker takes them over from a standby or from a snapshot."""
import json
import signal
import unittest

from support import BIN, Scene, run, wait_for

KINDS = BIN.parent / "tests/kinds_app"
TABLES = {"seen", "pages", "minutes"}  # those that have something before the takeover
USERS = [f"u{number}" for number in range(40)]


class Kinds(Scene):
    def setUp(self):
        self.place = self.folder / self.id().rsplit(".", 1)[1]
        self.place.mkdir()

    def start_kinds(self, name, *settings):
        """A worker on the machine of this name: only the log is the same on all of them."""
        worker = self.start(KINDS, "worker", "--without-web", "--shards", 1, "--loglevel", "debug", "--set",
                            "broker_commit_interval=0.1s", "--set", "processing_guarantee=exactly_once", "--set",
                            f"tabledir={self.place / name}", *settings, folder=self.place, name=name)
        worker.wait_for(r" - Worker ready$")
        return worker

    def kinds(self, *words):
        done = run(KINDS, *words, folder=self.place)
        self.assertEqual(done.returncode, 0, done)
        return done.stdout

    def visit(self, users, page, at):
        self.kinds("visit", "--users", users, f"--page={page}", "--at", at)

    def rows(self, table):
        """What the changelog says."""
        return json.loads(self.kinds("table", table, "--limit", 1000, "--json"))

    def values(self, table):
        return {row["key"]: row["value"] for row in self.rows(table)}

    def parts(self):
        return [part for table in json.loads(self.kinds("tables", "--json")) for part in table["of_partitions"]]

    def positions(self, state="running"):
        return {(part["table"], part["partition"]): part["position"] for part in self.parts() if part["state"] == state}

    def begin(self):
        """Two visits of each user, of which the windows are open."""
        self.visit(len(USERS), "a", 100)
        self.visit(len(USERS), "b", 110)
        wait_for(lambda: self.values("seen") == dict.fromkeys(USERS, 2), lambda: self.values("seen"))

    def go_on(self):
        """What only a worker can do right that has all of the state."""
        self.visit(len(USERS), "c", 200)  # ends the windows
        self.expect_results(60, 2)
        self.assertEqual(self.values("seen"), dict.fromkeys(USERS, 3))
        self.assertEqual(self.members(), {(user, page) for user in USERS for page in "abc"})
        self.visit(20, "-a", 200 + 2 * 3600)  # all rows have expired: also of those that do not come again
        self.expect_results(180, 1)
        wait_for(lambda: self.values("seen") == dict.fromkeys(USERS[:20], 1), lambda: self.values("seen"))
        self.assertEqual(self.members(), {(user, page) for user in USERS[:20] for page in "bc"} |
                         {(user, page) for user in USERS[20:] for page in "abc"})

    def members(self):
        return {tuple(row["key"]) for row in self.rows("pages")}

    def expect_results(self, start, visits):
        """Each user's window has one final result."""
        expected = {f"{user} {start}": {"times": 1, "visits": visits} for user in USERS}
        wait_for(lambda: expected.items() <= self.values("results").items(), lambda: self.values("results"))

    def nothing_is_read(self, worker):
        self.assertNotRegex(worker.stderr, r"[1-9]\d* records of kinds-(seen|pages|minutes)-changelog/\d restored")

    def test_from_a_standby(self):
        for store in ("memory", "rocksdb"):
            with self.subTest(store=store):
                self.place = self.place / store
                self.place.mkdir()
                settings = ("--set", f"store={store}://", "--set", "table_standby_replicas=1")
                first = self.start_kinds("first", *settings)
                second = self.start_kinds("second", *settings)
                self.begin()

                def followed():
                    running, standbys = self.positions(), self.positions("standby")
                    return (set(running) == set(standbys) and {table for table, _ in running} >= TABLES and
                            all(standbys[one] >= running[one] for one in running))
                wait_for(followed, lambda: f"a standby of each partition: {self.parts()}")
                first.signal(signal.SIGKILL)
                first.wait()
                self.go_on()
                self.nothing_is_read(second)
                second.signal(signal.SIGTERM)
                self.assertEqual(second.wait(), 0, second.stderr)

    def test_with_stores_that_two_workers_of_a_machine_want(self):
        """A worker follows partitions that another one on its machine may get."""
        settings = ("--set", "store=rocksdb://", "--set", "table_standby_replicas=1")
        first = self.start_kinds("first", *settings)
        others = [self.start_kinds("second", *settings)]
        self.begin()
        wait_for(lambda: set(self.positions("standby")) == set(self.positions()), self.parts)
        others.append(self.start_kinds("second", *settings))
        first.signal(signal.SIGKILL)
        first.wait()
        self.go_on()
        for worker in others:
            worker.signal(signal.SIGTERM)
            self.assertEqual(worker.wait(), 0, worker.stderr)

    def test_on_a_new_machine_from_snapshots(self):
        settings = ("--set", "store=rocksdb://", "--set", f"table_snapshot_dir={self.place / 'snapshots'}", "--set",
                    "table_snapshot_interval=1s")
        first = self.start_kinds("first", *settings)
        self.begin()

        def snapshots():
            found = {}
            for row in json.loads(self.kinds("snapshot", "--list", *settings[2:4], "--json")):
                at = row["table"], row["partition"]
                found[at] = max(found.get(at, 0), row["offset"])
            return found
        wait_for(lambda: (there := snapshots()) and {table for table, _ in there} == TABLES and
                 there == {at: position for at, position in self.positions().items() if position > 0},
                 lambda: f"a snapshot of each store: {snapshots()} {self.positions()}")
        first.signal(signal.SIGKILL)
        first.wait()
        second = self.start_kinds("second", *settings)
        self.go_on()
        for table in TABLES:
            for partition in range(2):
                self.assertRegex(second.stderr, rf"Table {table}, partition {partition}: begins with the snapshot")
        self.nothing_is_read(second)
        second.signal(signal.SIGTERM)
        self.assertEqual(second.wait(), 0, second.stderr)


if __name__ == "__main__":
    unittest.main()
