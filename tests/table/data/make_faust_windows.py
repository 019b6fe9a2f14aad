#!/usr/bin/env python3
"""Writes faust_windows.tsv: what real Faust makes of windows, for tests/table/window_faust_test.cc.

    python3 -m venv /tmp/v && /tmp/v/bin/pip install faust-streaming==0.11.3 orjson==3.13.0
    /tmp/v/bin/python tests/table/data/make_faust_windows.py > tests/table/data/faust_windows.tsv

Seeded. Columns, separated by tabs; times in ms, except in keys:
    size, step, expires, time, delta
    the starts of the windows of `time`, oldest first, with spaces between
    the starts of earliest(time), current(time), delta(time, delta)
    whether the newest window of `time` is stale at time + delta
    the changelog key of key "k" in the window earliest(time): by orjson, by the standard library
Sizes and steps are whole seconds: Faust truncates others, or fails."""

import json
import os
import random

os.environ["NO_CYTHON"] = "1"
import orjson
from faust.windows import HoppingWindow

chance = random.Random(7)
for number in range(400):
    step = chance.choice([1, 2, 3, 5, 10, 60, 3600, 86400])
    size = step * chance.choice([1, 1, 2, 3, 7])
    expires = chance.choice([0, size, 3 * size, 86400])
    second = chance.choice([0, 7, 1_600_000_000, chance.randrange(2_000_000_000)])
    time = second * 1000 + chance.choice([0, 1, 250, 899, 950, 999])
    delta = chance.choice([0, step, size, size + step, 5 * size]) * 1000
    window = HoppingWindow(size, step, expires)
    at = time / 1000
    ranges = window.ranges(at)
    assert ranges[0] == window.earliest(at) and ranges[-1] == window.current(at)
    key = ["k", window.earliest(at)]
    columns = [size * 1000, step * 1000, expires * 1000, time, delta]
    columns.append(" ".join(str(round(start * 1000)) for start, _ in ranges))
    for start, _ in (window.earliest(at), window.current(at), window.delta(at, delta // 1000)):
        columns.append(round(start * 1000))
    columns.append(int(window.stale(window.current(at)[1], (time + delta) / 1000)))
    columns += [orjson.dumps(key).decode(), json.dumps(key, separators=(",", ":"))]
    print(*columns, sep="\t")
