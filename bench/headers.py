#!/usr/bin/env python3
"""Seconds and megabytes that clang takes for the public headers, and for examples/hello, beside <boost/asio.hpp>: the least of five runs.

  bench/headers.py [COMPILER]
"""
import os
import pathlib
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
RUNS = 5
CASES = {"boost/asio.hpp": "#include <boost/asio.hpp>\n", "mephisto/mephisto.h": "#include <mephisto/mephisto.h>\n", "examples/hello": (ROOT / "examples/hello/hello.cc").read_text()}


def usage(command):
    """Of one run: seconds of the processor, and the most memory in MB."""
    process = os.posix_spawnp(command[0], command, os.environ)
    _, status, used = os.wait4(process, 0)
    if status != 0:
        sys.exit(f"{' '.join(command)} failed")
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def main():
    compiler = sys.argv[1] if len(sys.argv) > 1 else "clang++-19"
    asio = None
    with tempfile.TemporaryDirectory(prefix="headers-") as folder:
        for name, text in CASES.items():
            source = pathlib.Path(folder, "program.cc")
            source.write_text(text)
            runs = [usage([compiler, "-std=c++23", "-O2", "-c", f"-I{ROOT}/include", str(source), "-o", f"{folder}/program.o"]) for _ in range(RUNS)]
            seconds, megabytes = (min(column) for column in zip(*runs))
            asio = asio or seconds
            print(f"{name:20} {seconds:5.2f} s {megabytes:5.0f} MB {seconds / asio:5.2f} of boost/asio.hpp", flush=True)


if __name__ == "__main__":
    main()
