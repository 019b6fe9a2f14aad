#!/usr/bin/env python3
"""usage: on_mongo.py PROGRAM: runs PROGRAM's (horton_test's) tests of documents on MongoDB. The server is its own, or
the one that HORTON_TEST_MONGO_URL names."""
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests/support"))
from servers import running  # noqa: E402 (its folder is found only now)

TESTS = "--gtest_filter=*/mongodb:OnMongo.*"


def run(program, url):
    environment = {**os.environ, "HORTON_TEST_MONGO_URL": url}
    listed = subprocess.run([program, TESTS, "--gtest_list_tests"], env=environment, check=True, stdout=subprocess.PIPE,
                            text=True).stdout
    if "/mongodb" not in listed:
        sys.exit(f"{program} has no test for MongoDB")
    return subprocess.run([program, TESTS, "--gtest_brief=1"], env=environment).returncode


def main():
    (program,) = sys.argv[1:]
    if url := os.environ.get("HORTON_TEST_MONGO_URL"):
        return run(program, url)
    with running("mongo", ROOT / "build/mongo/documents") as (_, url):
        return run(program, url)


if __name__ == "__main__":
    sys.exit(main())
