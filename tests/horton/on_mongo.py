#!/usr/bin/env python3
"""usage: on_mongo.py PROGRAM: runs the tests of documents that PROGRAM (horton_test) has for MongoDB, on a server of its own or on the one
that HORTON_TEST_MONGO_URL names."""
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
TESTS = "--gtest_filter=*/mongodb:OnMongo.*"


def run(program, url):
    environment = {**os.environ, "HORTON_TEST_MONGO_URL": url}
    listed = subprocess.run([program, TESTS, "--gtest_list_tests"], env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout
    if "/mongodb" not in listed:
        sys.exit(f"{program} has no test for MongoDB")
    return subprocess.run([program, TESTS, "--gtest_brief=1"], env=environment).returncode


def main():
    (program,) = sys.argv[1:]
    if url := os.environ.get("HORTON_TEST_MONGO_URL"):
        return run(program, url)
    mongo, folder = ROOT / "dev/mongo", ["--dir", ROOT / "build/mongo/documents"]
    subprocess.run([mongo, "stop", *folder], check=True)  # what is left of a run that was killed
    try:
        return run(program, subprocess.run([mongo, "start", *folder], check=True, stdout=subprocess.PIPE, text=True).stdout.strip())
    finally:
        subprocess.run([mongo, "stop", *folder], check=True)


if __name__ == "__main__":
    sys.exit(main())
