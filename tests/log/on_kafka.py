#!/usr/bin/env python3
"""usage: on_kafka.py VERSION PROGRAM [--one-of-three-dead]

Runs the part of the conformance suite that PROGRAM (log_test) has for Kafka, on a broker of its own; or some of it on three, of which one was
killed. What happens while it dies is dev/chaos's.
"""
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
ALL = "--gtest_filter=*/kafka"
WITH_A_DEAD_BROKER = "--gtest_filter=*LogCommits*/kafka:*LogRecords.Append*/kafka:*LogConsuming.NoRecord*/kafka:*LogGroups.AMemberThat*/kafka"


def main():
    version, program, *dead = sys.argv[1:]
    tests = WITH_A_DEAD_BROKER if dead else ALL
    kafka = [ROOT / "dev/kafka"]
    folder = ["--dir", ROOT / "build/kafka" / f"conformance-{version}{'-three' if dead else ''}"]
    subprocess.run([*kafka, "stop", *folder], check=True)  # what is left of a run that was killed
    try:
        servers = subprocess.run([*kafka, "start", "--version", version, "--brokers", "3" if dead else "1", *folder], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
        environment = {**os.environ, "MEPHISTO_KAFKA": servers}
        listed = subprocess.run([program, tests, "--gtest_list_tests"], env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout
        if "/kafka" not in listed:
            sys.exit(f"{program} has no test for Kafka")
        if dead:
            subprocess.run([*kafka, "kill", "1", "--missed", *folder], check=True)
        return subprocess.run([program, tests, "--gtest_brief=1"], env=environment).returncode
    finally:
        subprocess.run([*kafka, "stop", *folder], check=True)


if __name__ == "__main__":
    sys.exit(main())
