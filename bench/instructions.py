#!/usr/bin/env python3
"""Counts instructions per record of the cases of dev/bench with callgrind; compares them with instructions.json.

  bench/instructions.py [--update] [--kafka | --local | CASE…]

Each case runs with some records and with twice as many. The difference counts, so the start costs nothing. The cases
named kafka_… run on a broker that the script starts, and include librdkafka's part. --kafka means all of these, --local
all others. Exit code 1 if a case takes over 5 % more than its kept count. If the growth is intended, write the new
count with --update, in the same commit.
"""
import contextlib
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

ROOT = pathlib.Path(__file__).resolve().parent.parent
KEPT = ROOT / "bench/instructions.json"
PROGRAMS = pathlib.Path(os.environ.get("MEPHISTO_BIN_DIR", ROOT / "build/release/bin"))
RECORDS = 200_000  # in a run (bench.h)
PARTITIONS = 8
GROWTH = 0.05
TRIES = 3  # on a busy machine a run makes more commits, and other batches


def run(command):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))} failed:\n{done.stdout}{done.stderr}")
    return done


def counted(words):
    """All instructions of mephisto_bench with these arguments."""
    with tempfile.TemporaryDirectory(prefix="instructions-") as folder:
        bare = pathlib.Path(folder, "mephisto_bench")  # valgrind 3.19 cannot read clang 19's debug information
        run(["llvm-strip-19", "--strip-debug", PROGRAMS / bare.name, "-o", bare])
        callgrind = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/out"]
        done = run(["env", "-C", folder, *callgrind, bare, "--part", *words])
        return int(re.search(r"Collected : (\d+)", done.stderr)[1])


class Broker:
    """A broker, started at the first use."""

    def __init__(self, stack):
        self.stack, self.servers, self.made = stack, None, 0

    def raw(self, part, *words):
        run([PROGRAMS / "raw_kafka", part, self.servers, *words])

    def topic(self):
        self.made += 1
        self.raw("create", f"topic-{self.made}", PARTITIONS)
        return f"topic-{self.made}"

    def start(self):
        folder = self.stack.enter_context(tempfile.TemporaryDirectory(prefix="instructions-kafka-")) + "/cluster"
        self.servers = run([ROOT / "dev/kafka", "start", "--fast", "--dir", folder]).stdout.strip()
        self.stack.callback(run, [ROOT / "dev/kafka", "stop", "--dir", folder])
        self.inputs = {}
        for times in (1, 2):
            self.inputs[times] = self.topic()
            self.raw("fill", self.inputs[times], PARTITIONS, times * RECORDS)

    def counted(self, kind, times):
        if self.servers is None:
            self.start()
        into = self.topic()
        count = str(times * RECORDS)
        return counted(["work", kind, f"kafka://{self.servers}", into, self.inputs[times], into, count, "1",
                        "at_least_once"])


def main():
    words = sys.argv[1:]
    kept = json.loads(KEPT.read_text())
    update = "--update" in words
    cases = [word for word in words if word != "--update"] or list(kept)
    if cases in (["--kafka"], ["--local"]):
        cases = [case for case in kept if case.startswith("kafka_") == (cases == ["--kafka"])]
    if unknown := [case for case in cases if case not in kept]:
        sys.exit(f"Error: there is no case {unknown[0]}; there are: {' '.join(kept)}")
    grown = []
    with contextlib.ExitStack() as stack, ThreadPoolExecutor(2) as pool:
        broker = Broker(stack)

        def instructions(case):
            if case.startswith("kafka_"):
                once, twice = (broker.counted(case.removeprefix("kafka_"), times) for times in (1, 2))
            else:
                once, twice = pool.map(lambda times: counted(["repeat", case, str(times)]), (1, 2))
            return (twice - once) / RECORDS

        for case in cases:
            tries = [instructions(case)]
            while tries[-1] > kept[case] * (1 + GROWTH) and len(tries) < TRIES:
                tries.append(instructions(case))
            growth = min(tries) / kept[case] - 1
            print(f"{case:16} {min(tries):6.0f} a record, {kept[case]:5} kept, {growth:+.1%}", flush=True)
            if min(tries) > kept[case] * (1 + GROWTH):
                grown.append(case)
            kept[case] = round(min(tries))
    if update:
        KEPT.write_text(json.dumps(kept, indent=2) + "\n")
    elif grown:
        sys.exit(f"Over {GROWTH:.0%} more than in bench/instructions.json: {', '.join(grown)}. If that is intended: "
                 f"bench/instructions.py --update {' '.join(grown)}")


if __name__ == "__main__":
    main()
