#!/usr/bin/env python3
"""Writes json_vectors.tsv: what real Python makes of values, for tests/codec/vectors_test.cc.

    python3 -m venv /tmp/v && /tmp/v/bin/pip install orjson==3.13
    /tmp/v/bin/python tests/codec/data/make_vectors.py > tests/codec/data/json_vectors.tsv

Seeded: the same Python (3.11) and orjson (3.13.0) write the same file. Columns, separated by tabs:
    kind, input, orjson.dumps(value), json.dumps(value, separators=(",", ":"))
The input depends on the kind:
    double        its 64 bits in hex, most significant digit first
    int, uint     decimal; fits in int64, uint64
    string        its UTF-8 in hex
    bytes         in hex, never UTF-8 as a whole; the outputs hold Python's repr of it, as Faust writes bytes
    bytes_quoted  the same, with quotes, line ends or tabs in it
    datetime      microseconds since 1970-01-01 UTC, in decimal
    date          days since 1970-01-01, in decimal
    doubles       a list: each item as above, followed by `;`
    strings       a list: each item as above, followed by `;`
    ints_by_name  an object of lists: name in hex, `=`, each item in decimal or `null` followed by `;`, then `/`
    tree          anything nested: json.dumps(value), with spaces, in hex
"""

import datetime
import json
import math
import random
import struct
import sys

import orjson

rng = random.Random(20261123)
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)


def bits(value):
    return struct.pack(">d", value).hex()


def stdlib(value):
    return json.dumps(value, separators=(",", ":"))


def emit(kind, text, value, python_value=None):
    fast = orjson.dumps(value, option=orjson.OPT_UTC_Z).decode()
    row = (kind, text, fast, stdlib(value if python_value is None else python_value))
    assert not any("\t" in column or "\n" in column for column in row)
    sys.stdout.buffer.write(("\t".join(row) + "\n").encode())


def doubles():
    yield from (0.0, -0.0, 1.0, -1.0, 0.1, 1e-7, 1e20, 1.5, 100.0, 1e15, 1e16, 1e17, 123456789.125, 5e-324,
                2.2250738585072014e-308)
    yield from (sys.float_info.max, -sys.float_info.max, math.nan, math.inf, -math.inf, 9007199254740991.0,
                9007199254740993.0, 9999999999999998.0)
    for exponent in (-308, -100, -10, -9, -7, -6, -5, -4, -3, -1, 1, 9, 10, 14, 15, 16, 17, 21, 22, 99, 100, 308):
        power = float(f"1e{exponent}")
        yield from (power, math.nextafter(power, 0.0), -math.nextafter(power, math.inf))
    for _ in range(50):  # any bits
        value = struct.unpack(">d", rng.randbytes(8))[0]
        if math.isfinite(value):
            yield value
    for _ in range(50):  # every magnitude that people use
        yield rng.uniform(-10, 10) * 10.0 ** rng.randint(-12, 20)
    for _ in range(20):  # prices
        yield round(rng.uniform(0, 5000), rng.randint(0, 6))


def char():
    return chr(rng.choice((
        rng.randint(0x20, 0x7e), rng.randint(0x20, 0x7e), rng.randint(0, 0x1f), rng.choice((0x22, 0x5c, 0x2f, 0x27)),
        rng.randint(0x80, 0x7ff), rng.randint(0x800, 0xd7ff), rng.randint(0xe000, 0xffff),
        rng.randint(0x10000, 0x10ffff),
        rng.choice((0x7f, 0x85, 0xa0, 0x2028, 0x2029, 0xfeff, 0xfffd, 0xffff, 0x10000, 0x1f600, 0x10ffff)))))


def text(longest=40):
    if rng.random() < 0.3:  # long plain runs, because an encoder copies eight bytes at once
        plain = "".join(chr(rng.randint(0x20, 0x7e)) for _ in range(rng.randint(0, longest)))
        at = rng.randint(0, len(plain))
        return plain[:at] + char() + plain[at:]
    return "".join(char() for _ in range(rng.randint(0, longest)))


def whole():
    return rng.choice((rng.randint(-10, 10), rng.randint(-10**6, 10**6), rng.randint(-2**63, 2**63 - 1)))


def tree(depth):
    kind = rng.randint(0, 5 if depth == 0 else 8)
    if kind <= 1:
        return text(10)
    if kind <= 3:
        return whole()
    if kind == 4:
        return rng.choice((True, False, None))
    if kind == 5:
        return rng.randint(-4000, 4000) / 8  # plain in both dialects
    if kind == 6:
        return [tree(depth - 1) for _ in range(rng.randint(0, 4))]
    return {text(6): tree(depth - 1) for _ in range(rng.randint(0, 4))}


def broken_bytes(extra):
    while True:
        pool = [rng.choice(b"abcXYZ 09~\\\x00\x01\x1f\x7f\x80\xc3\xa9\xff") for _ in range(rng.randint(1, 12))]
        data = bytes(pool + [rng.choice(extra) for _ in range(2)]) if extra else bytes(pool)
        try:
            data.decode()
        except UnicodeDecodeError:
            return data


for number in doubles():
    emit("double", bits(number), number)
for number in (0, 1, -1, 127, 128, -128, -129, 255, 256, 32767, -32768, 65535, 2**31 - 1, -2**31, 2**32 - 1, 2**53,
               2**63 - 1, -2**63):
    emit("int", str(number), number)
for number in [whole() for _ in range(20)]:
    emit("int", str(number), number)
for number in (2**63, 2**64 - 1, 10**19):
    emit("uint", str(number), number)
for code in (*range(0x22), 0x5c, 0x7e, 0x7f, 0x80, 0x85, 0xe9, 0x7ff, 0x800, 0x2028, 0xd7ff, 0xe000, 0xfffd, 0xffff,
             0x10000, 0x1f600, 0x10ffff):
    emit("string", chr(code).encode().hex(), chr(code))
for string in ["", "abcdefg", "abcdefgh", "abcdefghi", "abcdefgh\"", "\\" * 20, "é" * 20, "\x7f" * 9] + [
        text() for _ in range(100)]:
    emit("string", string.encode().hex(), string)
for data in [b"ab\xff"] + [broken_bytes(b"") for _ in range(20)]:
    emit("bytes", data.hex(), repr(data))
for data in [b"it's\xff", b"say \"it's\"\xff", b"\xff\n", b"\xff\r\t"] + [
        broken_bytes(b"'\"\n\r\t") for _ in range(16)]:
    emit("bytes_quoted", data.hex(), repr(data))
for micros in [0, 1, -1, 60, 1577934245 * 10**6] + [
        rng.randint(-62135596800, 253402300799) * 10**6 + rng.choice((0, 0, rng.randint(0, 999999), 500000))
        for _ in range(30)]:
    moment = EPOCH + datetime.timedelta(microseconds=micros)
    emit("datetime", str(micros), moment, moment.isoformat().replace("+00:00", "Z"))
for days in [0, -1, 18263, 11016, 19782] + [rng.randint(-700000, 2900000) for _ in range(15)]:
    date = EPOCH.date() + datetime.timedelta(days=days)
    emit("date", str(days), date, date.isoformat() + "T00:00:00")
for size in [0, 1] + [rng.randint(2, 8) for _ in range(18)]:
    numbers = [rng.uniform(-10, 10) * 10.0 ** rng.randint(-9, 18) for _ in range(size)]
    emit("doubles", "".join(bits(number) + ";" for number in numbers), numbers)
for strings in [[], [""], ["", ""]] + [[text(12) for _ in range(rng.randint(1, 5))] for _ in range(17)]:
    emit("strings", "".join(string.encode().hex() + ";" for string in strings), strings)
for _ in range(20):
    names = sorted({text(6) for _ in range(rng.randint(0, 4))}, key=str.encode)
    value = {name: [rng.choice((whole(), None)) for _ in range(rng.randint(0, 4))] for name in names}
    packed = "".join(
        name.encode().hex() + "=" + "".join(("null" if item is None else str(item)) + ";" for item in items) + "/"
        for name, items in value.items())
    emit("ints_by_name", packed, value)
for _ in range(80):
    value = [tree(4)]
    emit("tree", json.dumps(value).encode().hex(), value)
