#!/usr/bin/env python3
"""What the compiler says of types that cannot be records: one error for each, at app.topic, with the structure, the
field and the reason.

  tests/codec/refused_records_test.py COMPILER [FLAG…]
"""
import pathlib
import re
import subprocess
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
SOURCE = ROOT / "tests/codec/refused_records.cc"


class RefusedRecords(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        done = subprocess.run([*COMPILER, "-std=c++23", "-fsyntax-only", f"-I{ROOT}/include", SOURCE],
                              capture_output=True, text=True)
        cls.code, cls.text = done.returncode, done.stderr
        cls.errors = re.findall(r"error: (.*)", done.stderr)

    def check(self, *parts):
        found = [error for error in self.errors if all(part in error for part in parts)]
        self.assertEqual(len(found), 1, self.text)

    def test_one_error_for_each(self):
        self.assertNotEqual(self.code, 0)
        self.assertEqual(len(self.errors), 3, self.text)

    def test_a_field_of_a_structure_in_a_list(self):
        self.check("Price", '"amount"', "long double", "use double, or Decimal")

    def test_an_array(self):
        self.check("Label", '"text"', "use std::array")

    def test_a_name_without_a_member(self):
        self.check("Renamed", '"klass"', "kFields")

    def test_the_notes_point_at_app_topic(self):
        for line in ("app.topic<Order>", "app.topic<Label>", "app.topic<Renamed>"):
            self.assertIn(line, self.text)


if __name__ == "__main__":
    COMPILER = sys.argv[1:]
    unittest.main(argv=sys.argv[:1])
