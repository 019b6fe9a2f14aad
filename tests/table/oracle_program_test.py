"""The program `oracle` gives what Apache Kafka Streams gave (data/CREDITS.md) in every case in which Kafka Streams does
not contradict itself. A restart after each record changes nothing, nor does the coalescing of the changelogs."""
import concurrent.futures
import json
import os
import pathlib
import subprocess
import sys
import unittest

DATA = pathlib.Path(__file__).resolve().parent / "data"
PROGRAM = sys.argv.pop(1)
FILES = ("window", "join")
WAYS = {
    "as it is": [],
    "restarted with its store": ["--restart", "kept"],
    "restarted without its store": ["--restart", "lost"],
    "with every update in the changelog": ["--log-every-update"],
    "with every update in the changelog, restarted without its store": ["--log-every-update", "--restart", "lost"],
}


def lines(name):
    return [line for file in FILES for line in (DATA / f"{file}_{name}.jsonl").read_text().splitlines()]


def run(cases, options):
    # Stores in memory: the test is about what they hold, not about the disk.
    folder = {"TMPDIR": "/dev/shm"} if os.access("/dev/shm", os.W_OK) else {}
    done = subprocess.run([PROGRAM, *options, "/dev/stdin"], input="\n".join(cases), capture_output=True, text=True,
                          timeout=240, env={**os.environ, **folder})
    if done.returncode != 0:
        raise AssertionError(f"{options}: exit code {done.returncode}\n{done.stderr}")
    return [json.loads(line) for line in done.stdout.splitlines()]


class Oracle(unittest.TestCase):
    maxDiff = 2000

    @classmethod
    def setUpClass(cls):
        cls.cases = lines("cases")
        cls.expected = [json.loads(line) for line in lines("expected")]
        # In parts, because a store is opened for each record and the programs mostly wait for that.
        parts = [cls.cases[i:i + 50] for i in range(0, len(cls.cases), 50)]
        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            runs = {way: [pool.submit(run, part, options) for part in parts] for way, options in WAYS.items()}
            cls.ours = {way: [line for one in all for line in one.result()] for way, all in runs.items()}

    def test_every_case_is_run(self):
        self.assertEqual(len(self.cases), 300)
        self.assertEqual([line["id"] for line in self.ours["as it is"]],
                         [json.loads(case)["id"] for case in self.cases])

    def test_lines_without_quirks_are_equal(self):
        compared = 0
        for ours, wanted in zip(self.ours["as it is"], self.expected, strict=True):
            if wanted.get("quirks"):
                continue
            compared += 1
            with self.subTest(wanted["id"]):
                self.assertEqual(ours["outputs"], wanted["outputs"])
                self.assertEqual(ours["late"], wanted["dropped"])
        self.assertEqual(compared, 170)

    def test_neither_restarts_nor_coalescing_change_anything(self):
        for way in WAYS:
            for ours, wanted in zip(self.ours[way], self.ours["as it is"], strict=True):
                with self.subTest(f"{wanted['id']} {way}"):
                    self.assertEqual(ours, wanted)


if __name__ == "__main__":
    unittest.main()
