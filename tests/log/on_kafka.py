#!/usr/bin/env python3
"""usage: on_kafka.py VERSION PROGRAM [--one-of-three-dead | --read-by-librdkafka]

Runs the part of the conformance suite that PROGRAM (log_test) has for Kafka, on a broker of its own. With
--one-of-three-dead, runs some of it on three brokers, one of which was killed; dev/chaos tests what happens while it
dies. Our own reader reads the records, or librdkafka, as it does over TLS.
"""
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests/support"))
from servers import running  # noqa: E402 (its folder is found only now)

ALL = "--gtest_filter=*/kafka"
WITH_A_DEAD_BROKER = ("--gtest_filter=*LogCommits*/kafka:*LogRecords.Append*/kafka:*LogConsuming.NoRecord*/kafka:"
                      "*LogGroups.AMemberThat*/kafka-*TransactionsMake*")


def main():
    version, program, *how = sys.argv[1:]
    dead = "--one-of-three-dead" in how
    tests = WITH_A_DEAD_BROKER if dead else ALL
    folder = ROOT / "build/kafka" / f"conformance-{version}{'-three' if dead else ''}"
    with running("kafka", folder, "--version", version, "--brokers", "3" if dead else "1") as (kafka, servers):
        environment = {**os.environ, "MEPHISTO_KAFKA": servers,
                       "MEPHISTO_KAFKA_READER": "librdkafka" if "--read-by-librdkafka" in how else "ours"}
        listed = subprocess.run([program, tests, "--gtest_list_tests"], env=environment, check=True,
                                stdout=subprocess.PIPE, text=True).stdout
        if "/kafka" not in listed:
            sys.exit(f"{program} has no test for Kafka")
        if dead:
            kafka.run("kill", "1", "--missed")
        return subprocess.run([program, tests, "--gtest_brief=1"], env=environment).returncode


if __name__ == "__main__":
    sys.exit(main())
