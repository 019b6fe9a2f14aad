"""A consumer group is handed over: Faust's worker stops, ours with the same id continues at the commit, and back
again."""
import collections
import json
import unittest

import sides
from sides import Sides, wait_for

PEER = sides.HERE / "peer.py"


class TakeOver(Sides):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        sides.create("moved", "moving", partitions=4)

    def setUp(self):
        self.sent = sum(sides.ends("moving").values())

    def send(self, numbers, **options):
        """Sends numbers with their keys, which decide the partition if none is given."""
        sides.produce("moving",
                      [(str(number).encode(), {"key": str(number).encode(), **options}) for number in numbers])
        self.sent += len(numbers)

    def done(self):
        """Which side did each record, by the record's position."""
        found = collections.defaultdict(list)
        for record in sides.records("moved"):
            result = json.loads(record.value)
            found[result["partition"], result["offset"]].append(result["by"])
        return found

    def wait_for_all(self):
        wait_for(lambda: len(self.done()) == self.sent, lambda: f"{self.sent} records done, not {len(self.done())}",
                 120)

    def committed(self):
        return {partition: offset for partition, (offset, _) in sides.committed("moving", "moving").items()}

    def check_side(self, by, since, until):
        """This side did each record between the two commits, and did it once."""
        for place, sides_ in self.done().items():
            if since.get(place[0], 0) <= place[1] < until.get(place[0], 0):
                self.assertEqual([one for one in sides_ if one == by], [by], place)

    def test_a_group_goes_to_ours_and_back(self):
        python = self.fausts(PEER, "moving")
        self.send(range(4000))
        wait_for(self.done, "results of Python's")
        ours = self.start(sides.PROGRAM, "moving", "worker", "--without-web", "--shards", "1")
        ours.wait_for("Group moving has members that assign its partitions in another way")
        self.stop(python)  # in the middle of its work
        left_by_python = self.committed()
        ours.wait_for("Partitions of this worker")
        self.wait_for_all()
        self.send(range(4000, 8000))
        wait_for(lambda: len(self.done()) > 4000, "results of ours")
        self.stop(ours)
        left_by_ours = self.committed()
        self.send(range(8000, 8100))
        self.stop_when_done(self.fausts(PEER, "moving"))

        self.check_side("faust", {}, left_by_python)
        self.check_side("ours", left_by_python, left_by_ours)
        self.check_side("faust", left_by_ours, sides.ends("moving"))

    def stop_when_done(self, worker):
        self.wait_for_all()
        self.stop(worker)

    def test_what_is_done_after_the_offset_python_repeats(self):
        """Ours commits the first offset that is not done, with a note of the later ones that are. Faust does not know
        the note."""
        ours = self.ours("moving")
        start = sides.ends("moving")[0]
        self.send([-1, 8101, 8102, 8103], partition=0)
        wait_for(lambda: all((0, start + behind) in self.done() for behind in (1, 2, 3)),
                 "the records behind the one that waits")
        self.stop(ours)
        self.assertEqual(sides.committed("moving", "moving")[0], (start, "move:1-3"))
        self.stop_when_done(self.fausts(PEER, "moving"))
        done = self.done()
        self.assertEqual([done[0, start + behind] for behind in range(4)], [["faust"]] + [["ours", "faust"]] * 3)


if __name__ == "__main__":
    unittest.main()
