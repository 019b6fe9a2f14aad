#!/usr/bin/env bash
# Package: confluent-kafka 2.11.1 (PyPI) with its librdkafka 2.11.1, on librdkafka's own mock broker.
# One expects: a consumer that is assigned its partitions with their offsets, commits nothing and never subscribes asks
# the brokers nothing about its group; the name is only there because the constructor demands one.
# What happens: it finds the group's coordinator, and opens a connection of its own to it. Where ACLs allow it to read
# the topic only, it meets errors about a group that it does not use.
# Output seen: the lines of `expected` below. The script fails if it sees others.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv python
python/bin/pip -q --disable-pip-version-check install confluent-kafka==2.11.1

cat >assign.py <<'PYTHON'
import logging

from confluent_kafka import Consumer, TopicPartition, libversion

lines = []


class Keep(logging.Handler):
    def emit(self, record):
        lines.append(record.getMessage())


logger = logging.getLogger("client")
logger.setLevel(logging.DEBUG)
logger.addHandler(Keep())
consumer = Consumer({"bootstrap.servers": "ignored:1", "test.mock.num.brokers": 1, "group.id": "unused",
                     "enable.auto.commit": False, "enable.auto.offset.store": False, "debug": "protocol,broker"},
                    logger=logger)
consumer.assign([TopicPartition("topic", 0, 0)])
for _ in range(30):
    consumer.poll(0.1)
consumer.close()
print("librdkafka", libversion()[0])
print("asks for the coordinator:", any("Sent FindCoordinatorRequest" in line for line in lines))
print("connects to it:", any("GroupCoordinator/1" in line and "Connected" in line for line in lines))
print("joins the group:", any("Sent JoinGroupRequest" in line for line in lines))
PYTHON
python/bin/python assign.py | tee seen

cat >expected <<'LINES'
librdkafka 2.11.1
asks for the coordinator: True
connects to it: True
joins the group: False
LINES
diff expected seen
