"""Tables are handed over: one side counts, the other one takes its tables and offsets over and counts on."""
import collections
import json
import time
import unittest

import sides
from sides import Sides, wait_for

TABLES = sides.HERE / "tables.py"
COUNT = 10_000  # events of each side
KEYS = 40
SECONDS = 120   # that the events of a side span


def floor(time, step):
    return time - time % step


class Fold:
    """What the tables have after some events."""

    def __init__(self):
        self.counts = {}
        self.tumbled = collections.Counter()
        self.hopped = collections.Counter()
        self.tagged = collections.defaultdict(set)

    def add(self, key, number, time_ms):
        second = time_ms // 1000
        if number < 0:
            self.counts.pop(key, None)
            self.tagged[key].discard(-number % 10)
        else:
            self.counts[key] = self.counts.get(key, 0) + number
            self.tagged[key].add(number % 10)
        self.tumbled[key, floor(second, 10)] += 1
        for start in (floor(second, 5) - 5, floor(second, 5)):
            self.hopped[key, start] += 1


def rows(topic):
    """The last value of each key in a changelog."""
    found = {}
    for record in sides.records(topic):
        key = json.dumps(json.loads(record.key))  # in the same way, whoever wrote it
        if record.value is None:
            found.pop(key, None)
        else:
            found[key] = json.loads(record.value)
    return found


def windows(topic):
    found = {}
    for text, value in rows(topic).items():
        key, (start, end) = json.loads(text)
        assert abs(end - start - 9.9) < 1e-6, text
        found[key, int(start)] = value
    return found


def not_empty(sets):
    return {key: members for key, members in sets.items() if members}


def members(topic):
    """The sets after Faust's operations."""
    found = collections.defaultdict(set)
    for record in sides.records(topic):
        operation, key = json.loads(record.key)
        value = json.loads(record.value)
        if operation == 15:
            found[key] |= set(value[0])
            found[key] -= set(value[1])
        elif operation == 1:
            found[key].add(value)
        else:
            found[key].discard(value)
    return not_empty(found)


class TablesTest(Sides):
    def ours_with_tables(self, app):
        worker = self.start(sides.PROGRAM, "tables", app, "worker", "--without-web", "--shards", "1",
                            env=self.broker(app))
        worker.wait_for("Partitions of this worker")
        return worker

    def send(self, app, fold, first, now):
        """Sends the next events; their times end now, so that Faust does not let them expire."""
        sent = []
        for number in range(first, first + COUNT):
            key = f"key-{number * 7919 % KEYS}"
            value = -number if number % 13 == 0 else number % 100
            at = now - SECONDS * 1000 + (number - first) * SECONDS * 1000 // COUNT
            fold.add(key, value, at)
            sent.append((str(value).encode(), {"key": key.encode(), "timestamp_ms": at}))
        sides.produce("events-" + app, sent)

    def count(self, app, start, first, fold):
        """One side counts the events up to the last one."""
        worker = start(app)
        self.send(app, fold, first, int(time.time() * 1000))

        def done():
            return sum(offset for offset, _ in sides.committed(app, "events-" + app).values())
        wait_for(lambda: done() == first + COUNT, lambda: f"{first + COUNT} events committed by {app}, not {done()}",
                 200)
        self.stop(worker)
        self.check(app, fold)

    def check(self, app, fold):
        for table, found, wanted in (
                ("counts", rows(f"{app}-counts-changelog"), {json.dumps(key): n for key, n in fold.counts.items()}),
                ("tumbled", windows(f"{app}-tumbled-changelog"), fold.tumbled),
                ("hopped", windows(f"{app}-hopped-changelog"), fold.hopped),
                ("key_index", rows(f"{app}-hopped-key_index-changelog"),
                 {json.dumps(f"key-{key}"): 1 for key in range(KEYS)}),
                ("tagged", members(f"{app}-tagged-changelog"), not_empty(fold.tagged))):
            wrong = {key: (found.get(key), wanted.get(key)) for key in found.keys() | wanted.keys()
                     if found.get(key) != wanted.get(key)}
            self.assertEqual(wrong, {}, f"{table}: what is there, and what should be")

    def fausts_tables(self, app):
        """Faust waits for ever at a changelog that ends with a transaction of ours."""
        if any(sides.ends(f"{app}-counts-changelog").values()):
            self.output(sides.PROGRAM, "tables", app, "tables", "--end-for-faust", env=self.broker(app))
        return self.fausts(TABLES, app)

    @staticmethod
    def broker(app):
        return {f"{app.upper().replace('-', '_')}_BROKER": f"kafka://{sides.KAFKA}"}

    def hand_over(self, app, sides_in_turn):
        sides.create("events-" + app, *[f"{app}-{table}-changelog" for table in
                                        ("counts", "tumbled", "hopped", "hopped-key_index", "tagged")], partitions=4)
        fold = Fold()
        for turn, side in enumerate(sides_in_turn):
            self.count(app, side, turn * COUNT, fold)

    def test_ours_takes_fausts_tables_over(self):
        self.hand_over("tables-a", [self.fausts_tables, self.ours_with_tables])

    def test_faust_takes_our_tables_over(self):
        self.hand_over("tables-b", [self.ours_with_tables, self.fausts_tables])


if __name__ == "__main__":
    unittest.main()
