"""Rows of tables by HTTP, with Kafka as the log (tests/end_to_end/queries_test.py)."""
import sys
import unittest

from cluster import ROOT, Cluster

sys.path.insert(0, str(ROOT / "tests/end_to_end"))
import queries_test  # noqa: E402 (the folder of the end-to-end tests is found only now)


class OnKafka(queries_test.Queries):
    @classmethod
    def setUpClass(cls):
        cls.settings = ("--set", f"broker={Cluster().url}", "--set", "broker_session_timeout=6s")
        super().setUpClass()


if __name__ == "__main__":
    unittest.main()
