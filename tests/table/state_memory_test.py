"""A worker that counts in RocksDB with 10 M keys keeps to memory_budget: state_memory_test.py MEPHISTO_BENCH."""
import subprocess
import sys
import tempfile

BUDGET = 64  # MB, in bench/table.cc
BESIDES = 48  # the program, the client of the log, and what is in flight
KEYS = 10_000_000
EVENTS = 400_000

with tempfile.TemporaryDirectory(prefix="state-memory-") as folder:
    command = [sys.argv[1], "--part", "big", str(KEYS), str(EVENTS)]
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, text=True, check=True)
microseconds, megabytes = map(float, done.stdout.split())
print(f"{microseconds} µs an event, {megabytes} MB at most")
if megabytes > BUDGET + BESIDES:
    sys.exit(f"The worker took {megabytes} MB, with a budget of {BUDGET} MB")
