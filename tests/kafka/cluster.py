"""What the tests on a Kafka broker share: a cluster of their own, and horton on it."""
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "end_to_end"))
from support import ROOT, environment, wait_for  # noqa: E402 (the folder of the end-to-end tests is found only now)

TESTS = pathlib.Path(os.environ.get("MEPHISTO_TESTS_DIR", ROOT / "build/release/tests")).resolve()
KAFKA_ACLS = "kafka.admin.AclCommand"
KAFKA_CONFIGS = "kafka.admin.ConfigCommand"
KAFKA_DELETE_RECORDS = "org.apache.kafka.tools.DeleteRecordsCommand"
KAFKA_TOPICS = "org.apache.kafka.tools.TopicCommand"


class Cluster:
    """Brokers that end with the module of the tests."""

    def __init__(self, *options):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="mephisto-kafka-"))
        unittest.addModuleCleanup(self.run, "stop")
        self.options = options
        self.start()

    def run(self, command, *words):
        done = subprocess.run([ROOT / "dev/kafka", command, "--dir", self.folder / "cluster", *map(str, words)],
                              env=environment(), capture_output=True, text=True)
        if done.returncode != 0:
            raise AssertionError(f"dev/kafka {command} fails:\n{done.stdout}{done.stderr}")
        return done.stdout

    def start(self):
        """Starts the brokers, even those that were killed."""
        plain, *others = self.run("start", *self.options).splitlines()
        self.servers = {"plain": plain, **dict(line.split() for line in others)}
        self.url = f"kafka://{plain}"

    def kill(self):
        self.run("kill", 1)

    def tool(self, tool, *words):
        return self.run("tool", tool, *words)

    def delete_topics(self, pattern):
        """Also waits until the broker has forgotten them."""
        self.tool(KAFKA_TOPICS, "--delete", "--topic", pattern, "--if-exists")
        wait_for(lambda: not re.search(rf"(?m)^({pattern})$", self.tool(KAFKA_TOPICS, "--list")), "the topics to be deleted")


def properties(**given):
    """librdkafka's properties as settings on a command line: `_` stands for `.`."""
    return [word for name, value in given.items()
            for word in ("--set", f"kafka.properties.{name.replace('_', '.')}={value}")]
