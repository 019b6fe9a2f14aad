"""tests/end_to_end/group_by_test.py on a Kafka broker."""
import unittest

from cluster import Cluster
from group_by_test import GroupBy


def setUpModule():
    global cluster
    cluster = Cluster()


class GroupByOnKafka(GroupBy):
    kills = 4

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.settings = cls.settings | {"broker": cluster.url, "broker_session_timeout": "6s"}


del GroupBy  # its own tests run elsewhere

if __name__ == "__main__":
    unittest.main()
