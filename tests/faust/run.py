#!/usr/bin/env python3
"""usage: run.py PROGRAM [TEST...]: runs the tests of this folder with PROGRAM (faust_peer) on one side, Faust on the
other, and a broker between them. Faust is installed in build/faust/venv, which is created if it does not exist."""
import fcntl
import os
import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(ROOT / "tests/support"))
from servers import running  # noqa: E402 (its folder is found only now)

VENV = ROOT / "build/faust/venv"
# Faust creates topics by a request that Kafka 4 no longer knows.
VERSION = "3.9"


def python():
    """The Python that has Faust."""
    wanted = (HERE / "requirements.txt").read_text()
    done = VENV / "requirements.txt"  # written last
    VENV.parent.mkdir(parents=True, exist_ok=True)
    with open(VENV.parent / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists() or done.read_text() != wanted:
            print(f"Making {VENV}", file=sys.stderr)
            shutil.rmtree(VENV, ignore_errors=True)
            subprocess.run([sys.executable, "-m", "venv", VENV], check=True)
            subprocess.run([VENV / "bin/pip", "install", "-q", "--disable-pip-version-check", "-r",
                            HERE / "requirements.txt"], check=True)
            done.write_text(wanted)
    return VENV / "bin/python"


def main():
    program, *tests = sys.argv[1:]
    faust = python()
    with running("kafka", ROOT / "build/faust/kafka", "--version", VERSION) as (_, servers):
        environment = {**os.environ, "FAUST_TEST_KAFKA": servers, "FAUST_TEST_PROGRAM": program}
        words = tests or ["discover", "-p", "*_test.py"]
        return subprocess.run([faust, "-m", "unittest", *words], cwd=HERE, env=environment).returncode


if __name__ == "__main__":
    sys.exit(main())
