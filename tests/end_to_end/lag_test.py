"""`lag` and `why` agree: while a record is done and not committed, and when all are committed."""
import json
import signal
import unittest

from support import Scene, wait_for


class LagAndWhy(Scene):
    """Each test in a folder of its own."""

    def setUp(self):
        self.place = self.folder / self.id().rsplit(".", 1)[1]
        self.place.mkdir()
        self.config(self.start_market(), folder=self.place)

    def lag(self):
        return {f"{row['topic']}/{row['partition']}": row for row in self.rows("lag", folder=self.place)}

    def why(self, place):
        return self.horton("why", place, folder=self.place).stdout

    def collect(self, worker):
        self.assertEqual(self.horton("start-collect-securities", folder=self.place).returncode, 0)
        done = self.horton("progress", "--follow", "--timeout", 60, folder=self.place)
        self.assertEqual(done.returncode, 0, done.stderr + worker.stderr)

    def test_what_is_done_and_not_committed_is_reported_by_both(self):
        worker = self.start_worker("--shards", 1, "--set", "broker_commit_interval=1h", folder=self.place)
        sent = json.loads(self.horton("send", "@collect_security_overview", '{"symbol": "IBM", "exchange": "NYSE"}',
                                      folder=self.place).stdout)
        place = f"{sent['topic']}/{sent['partition']}"
        wait_for(lambda: self.lag()[place]["uncommitted"] == 1, lambda: f"the record to be done: {self.lag()[place]}")
        self.assertEqual(self.lag()[place]["lag"], 1)
        self.assertEqual(self.why(place), f"{place}  is done up to its end, 1; 0 is committed so far\n")
        worker.signal(signal.SIGTERM)
        self.assertEqual(worker.wait(), 0)
        self.assertEqual((self.lag()[place]["lag"], self.lag()[place]["uncommitted"]), (0, None))

    def test_after_the_last_commit_nothing_is_behind_under_both_guarantees(self):
        for guarantee in ("at_least_once", "exactly_once"):
            worker = self.start_worker("--set", f"processing_guarantee={guarantee}", folder=self.place)
            self.collect(worker)
            wait_for(lambda: all(row["lag"] == 0 for row in self.lag().values()),
                     lambda: f"everything to be committed: {self.lag()}")
            for place, row in self.lag().items():
                if "__leader" in place:  # no agent has it
                    continue
                self.assertEqual(row["uncommitted"], 0)
                self.assertEqual(self.why(place), f"{place}  is done up to its end, {row['end']}\n")
            worker.signal(signal.SIGTERM)
            self.assertEqual(worker.wait(), 0)
            self.assertEqual({row["lag"] for row in self.lag().values()}, {0})


if __name__ == "__main__":
    unittest.main()
