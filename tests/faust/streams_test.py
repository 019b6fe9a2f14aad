"""Streams that pass both sides: a chain whose every record is accounted for, and the golden vectors in both dialects of
JSON."""
import collections
import csv
import json
import sys
import unittest

import orjson
import sides
from sides import Sides, wait_for

VECTORS = sides.HERE.parent / "codec/data/json_vectors.tsv"
DUMP = {"orjson": lambda value: orjson.dumps(value).decode(),
        "stdlib": lambda value: json.dumps(value, separators=(",", ":"))}


class Chain(Sides):
    COUNT = 10_000
    KEYS = 50

    def test_ten_thousand_records_go_from_python_through_ours_to_python(self):
        """chain-1, Python, chain-2, ours, chain-3, Python, chain-4"""
        sides.create("chain-4", partitions=4)
        self.ours()
        self.peer()
        sides.produce("chain-1",
                      [(f'{{"number":{number},"by":[]}}'.encode(),
                        {"key": f"key-{number % self.KEYS}".encode()}) for number in range(self.COUNT)])
        hops = {"chain-1": [], "chain-2": ["faust"], "chain-3": ["faust", "ours"],
                "chain-4": ["faust", "ours", "faust"]}
        sides.wait_for_records("chain-4", self.COUNT)
        places = []
        for topic, by in hops.items():
            found = sides.records(topic)
            self.assertEqual([json.loads(record.value)["by"] for record in found], [by] * self.COUNT, topic)
            order = collections.defaultdict(list)
            for record in found:
                order[record.key.decode()].append(json.loads(record.value)["number"])
            self.assertEqual(order, {f"key-{key}": list(range(key, self.COUNT, self.KEYS)) for key in range(self.KEYS)},
                             topic)
            places.append({record.key: record.partition for record in found})
        self.assertEqual(places, [places[0]] * 4, "a key has another partition on the other side")
        for group, topic in (("peer", "chain-1"), ("ours", "chain-2"), ("peer", "chain-3")):
            self.wait_for_commits(group, topic)

    def wait_for_commits(self, group, topic):
        def total():
            return sum(offset for offset, _ in sides.committed(group, topic).values())
        wait_for(lambda: total() == self.COUNT,
                 lambda: f"{self.COUNT} records of {topic} committed by {group}, not {total()}")


class GroupBy(Sides):
    COUNT = 200

    def test_both_sides_group_into_the_same_topic_by_the_same_keys(self):
        peer = self.peer()
        orders = [f'{{"number": {number}, "customer": "c{number % 9}"}}' for number in range(self.COUNT)]
        sides.produce("peer.orders", [(order.encode(), {"key": f"o{number}".encode(), "headers": [("trace", b"t")],
                                                        "timestamp_ms": 1_700_000_000_000 + number})
                                      for number, order in enumerate(orders)])
        fausts = sides.wait_for_records(sides.GROUPED, self.COUNT)
        self.assertEqual(len(fausts), self.COUNT)
        self.stop(peer)
        worker = self.ours()
        both = sides.wait_for_records(sides.GROUPED, 2 * self.COUNT)
        self.stop(worker)
        old = {(record.partition, record.offset) for record in fausts}
        ours = [record for record in both if (record.partition, record.offset) not in old]

        def shown(records):
            return sorted((record.partition, record.key, record.value, record.headers) for record in records)
        self.assertEqual(shown(ours), shown(fausts))
        self.assertEqual(sorted(record.timestamp for record in ours),
                         [1_700_000_000_000 + number for number in range(self.COUNT)])


class Vectors(Sides):
    """Python writes vectors.KIND, we write vectors.KIND.back from it, and Python writes vectors.again from that."""

    def test_the_golden_vectors_in_both_dialects(self):
        rows = collections.defaultdict(list)
        with open(VECTORS, newline="") as file:
            for kind, _, *outputs in csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
                if kind.startswith("bytes"):
                    outputs = [f"[{output}]" for output in outputs]  # alone they would be sent as they are
                rows[kind].append(dict(zip(DUMP, outputs)))
        sides.create("vectors.again")
        self.ours()
        for dialect in DUMP:
            self.fausts(sides.HERE / "vectors.py", env={"PEER_JSON": dialect})
        sides.wait_for_records("vectors.again", 2 * sum(map(len, rows.values())))
        again = collections.defaultdict(list)
        for record in sides.records("vectors.again"):
            again[record.key.decode()].append(record.value.decode())
        for kind, vectors in rows.items():
            for dialect, dump in DUMP.items():
                with self.subTest(kind=kind, dialect=dialect):
                    ours = [vector["orjson"] for vector in vectors]
                    self.assertEqual(self.of(f"vectors.{kind}", dialect), [vector[dialect] for vector in vectors])
                    self.assertEqual(self.of(f"vectors.{kind}.back", dialect), ours)
                    self.assertEqual(again[f"{dialect}/{kind}"], [dump(orjson.loads(text)) for text in ours])

    @staticmethod
    def of(topic, dialect):
        return [record.value.decode() for record in sides.records(topic) if record.key == dialect.encode()]


if __name__ == "__main__":
    unittest.main()
