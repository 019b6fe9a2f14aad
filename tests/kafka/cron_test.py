"""Leaders of crontabs that are killed in turn, on a Kafka broker (tests/end_to_end/cron_test.py)."""
import os
import unittest

from cluster import Cluster
from cron_test import Ticking


def setUpModule():
    os.environ["TICKING_BROKER"] = Cluster().url


class OnKafka(Ticking):
    session = "6s"
    kills = 2


for name in list(vars(Ticking)):
    if name.startswith("test_") and name != "test_leaders_that_are_killed_in_turn":
        setattr(OnKafka, name, None)
del Ticking  # its own tests run elsewhere

if __name__ == "__main__":
    unittest.main()
