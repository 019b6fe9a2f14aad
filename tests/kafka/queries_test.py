"""Rows of tables by HTTP, with Kafka as the log (tests/end_to_end/queries_test.py)."""
import unittest

from cluster import Cluster
import queries_test


class OnKafka(queries_test.Queries):
    @classmethod
    def setUpClass(cls):
        cls.settings = ("--set", f"broker={Cluster().url}", "--set", "broker_session_timeout=6s")
        super().setUpClass()


if __name__ == "__main__":
    unittest.main()
