"""What our side sends for random values of every kind. Python reads it as Faust does, with orjson and with the json
module, and both must agree."""
import datetime
import decimal
import json
import os
import pathlib
import subprocess
import unittest

import orjson
from faust.utils.json import loads

PROGRAM = pathlib.Path(os.environ["FAUST_TEST_PROGRAM"]).with_name("sent_texts")


def same(one, other):
    """Like ==, but distinguishes 1 from 1.0, 0.0 from -0.0, and the order of names."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return one.hex() == other.hex() if isinstance(one, float) else one == other


class Values(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        printed = subprocess.run([PROGRAM], stdout=subprocess.PIPE, check=True).stdout
        cls.sent = [tuple(part.decode().split("\t", 1)) for part in printed.split(b"\0")[:-1]]
        assert len(cls.sent) > 10_000

    def of(self, kind):
        found = [orjson.loads(text) for name, text in self.sent if name.startswith(kind)]
        self.assertGreater(len(found), 20, kind)
        return found

    def test_both_encoders_of_faust_read_the_same(self):
        for kind, text in self.sent:
            value = orjson.loads(text)
            self.assertTrue(same(value, json.loads(text)) and same(value, loads(text)), f"{kind}: {text}")

    def test_what_python_writes_again_is_the_same(self):
        for kind, text in self.sent:
            value = orjson.loads(text)
            self.assertTrue(same(orjson.loads(orjson.dumps(value)), value), f"{kind}: {text}")

    def test_decimals_times_and_dates_are_pythons(self):
        for text in self.of("Decimal"):
            self.assertTrue(decimal.Decimal(text).is_finite(), text)
        for text in self.of("std::chrono::time_point"):
            datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
        for text in self.of("year_month_day"):
            datetime.datetime.fromisoformat(text)


if __name__ == "__main__":
    unittest.main()
