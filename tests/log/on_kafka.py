#!/usr/bin/env python3
"""usage: on_kafka.py VERSION PROGRAM: runs the part of the conformance suite that PROGRAM (log_test) has for Kafka, on a broker of its own."""
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
TESTS = "--gtest_filter=*/kafka"


def main():
    version, program = sys.argv[1:]
    kafka = [ROOT / "dev/kafka"]
    folder = ["--dir", ROOT / "build/kafka" / f"conformance-{version}"]
    subprocess.run([*kafka, "stop", *folder], check=True)  # what is left of a run that was killed
    try:
        servers = subprocess.run([*kafka, "start", "--version", version, *folder], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
        environment = {**os.environ, "MEPHISTO_KAFKA": servers}
        listed = subprocess.run([program, TESTS, "--gtest_list_tests"], env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout
        if "/kafka" not in listed:
            sys.exit(f"{program} has no test for Kafka")
        return subprocess.run([program, TESTS, "--gtest_brief=1"], env=environment).returncode
    finally:
        subprocess.run([*kafka, "stop", *folder], check=True)


if __name__ == "__main__":
    sys.exit(main())
