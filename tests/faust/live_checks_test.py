"""Live checks: tests that either side begins follow records through the other one, and both sides' workers run them."""
import json
import re
import sys
import unittest

import sides
from sides import PROGRAM, Sides, wait_for

LIVE = sides.HERE / "live.py"


def shape(text):
    """A record without its times and durations."""
    text = re.sub(r'"20\d\d-[^"]*"', '"TIME"', text)
    return re.sub(r'("runtime"|"stored"|"executed"):[0-9.e-]+', r"\1:0", text)


class LiveChecks(Sides):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        sides.create("live.orders", "livecheck", "livecheck-bus", "livecheck-report", partitions=4)
        cls.start(PROGRAM, "live", "worker", "--without-web", "--shards", "1").wait_for(r"Worker ready")
        cls.start(PROGRAM, "live", "livecheck", "--without-web", "--shards", "2").wait_for(r"Worker ready")
        cls.start(sys.executable, LIVE, "livecheck", "--without-web", "-l", "info").wait_for("Worker ready")

    def reports(self, test_id):
        """Of both sides: the state, and the record."""
        def both():
            found = [record.value.decode() for record in sides.records("livecheck-report")
                     if record.key == test_id.encode()]
            return {json.loads(text)["state"]: text for text in found} if len(found) == 2 else None
        return wait_for(both, lambda: sides.records("livecheck-report"), 120)

    def record(self, topic, test_id, says=b""):
        [found] = [record for record in sides.records(topic)
                   if record.key == test_id.encode() and says in record.value]
        return found

    def test_each_side_begins_tests_that_both_run(self):
        self.output(sys.executable, LIVE, "begin", "of-python", "sell")
        self.output(PROGRAM, "live", "begin", "--id", "of-ours", "--side", "sell")
        theirs, ours = self.reports("of-python"), self.reports("of-ours")
        # Faust writes another word than PASS when a test passes.
        self.assertEqual([set(theirs), set(ours)], [{"PASS", "111/***/111"}] * 2)
        for topic, says in (("livecheck", b""), ("livecheck-bus", b"stored")):
            with self.subTest(topic):
                self.assertEqual(shape(self.record(topic, "of-ours", says).value.decode()).replace("of-ours", "ID"),
                                 shape(self.record(topic, "of-python", says).value.decode()).replace("of-python", "ID"))
        self.assertEqual(list(json.loads(theirs["PASS"])), list(json.loads(theirs["111/***/111"])))
        self.assertEqual(json.loads(shape(theirs["PASS"])),
                         json.loads(shape(theirs["111/***/111"]).replace("111/***/111", "PASS")))
        headers = {test_id: dict(self.record("live.orders", test_id).headers) for test_id in ("of-ours", "of-python")}
        self.assertEqual(list(headers["of-ours"]), list(headers["of-python"]))
        self.assertEqual(headers["of-ours"]["LiveCheck-Test-Name"], headers["of-python"]["LiveCheck-Test-Name"])
        for test in headers.values():
            self.assertRegex(test["LiveCheck-Test-Expires"].decode(), r"^[\d-]{10}T[\d:]{8}(\.\d{6})?\+00:00$")
        [state] = json.loads(self.output(PROGRAM, "live", "livecheck", "--states", "--json"))
        self.assertEqual((state["state"], state["tests"]), ("PASS", {"PASS": 4}))


if __name__ == "__main__":
    unittest.main()
