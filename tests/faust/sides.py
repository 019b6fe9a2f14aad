"""What the tests share: programs of both sides in the background, and the records on Kafka between them, byte by
byte."""
import asyncio
import atexit
import functools
import os
import pathlib
import shutil
import sys
import tempfile
import unittest

import aiokafka
import aiokafka.admin

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "end_to_end"))
from support import Process, run, wait_for  # noqa: E402

GROUPED = "peer.group-peer.orders-Order.customer-repartition"
KAFKA, PROGRAM = os.environ["FAUST_TEST_KAFKA"], os.environ["FAUST_TEST_PROGRAM"]


def environment(extra=None):
    return {"PEER_BROKER": f"kafka://{KAFKA}", "OURS_BROKER": f"kafka://{KAFKA}", "MOVING_BROKER": f"kafka://{KAFKA}",
            "LIVE_BROKER": f"kafka://{KAFKA}", "OURS_REPLY_TO_TOPICS": "answers.*", **(extra or {})}


class Sides(unittest.TestCase):
    """Has a folder of its own, and ends what it started."""

    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="faust-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder)

    @classmethod
    def start(cls, *words, env=None):
        process = Process(*words, folder=cls.folder, env=environment(env))
        cls.addClassCleanup(process.end)
        return process

    @classmethod
    def ours(cls, app="ours"):
        """Starts a worker of ours and waits until it has its partitions."""
        worker = cls.start(PROGRAM, app, "worker", "--without-web", "--shards", "1")
        worker.wait_for("Partitions of this worker")
        return worker

    @classmethod
    def fausts(cls, *words, env=None):
        """Starts a worker of Faust's and waits until it has its partitions."""
        worker = cls.start(sys.executable, *words, "worker", "--without-web", "-l", "info", env=env)
        worker.wait_for("Worker ready")
        return worker

    @classmethod
    def peer(cls):
        """Faust does not wait until the topics that it creates are known. If a topic is missing at its first
        assignment, Faust reads it only after the next one."""
        create("chain-1", "chain-3", "peer.orders", GROUPED,
               *[f"peer.{name}" for name in ("square", "shout", "ping", "turn", "grow", "wait", "sink", "sunk")],
               partitions=4)
        return cls.fausts(HERE / "peer.py", "peer")

    def stop(self, worker):
        worker.child.terminate()
        self.assertEqual(worker.wait(), 0, worker.stderr)

    def output(self, *words, env=None):
        done = run(*words, folder=self.folder, env=environment(env))
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def command(self, *words):
        """The output of one of our commands."""
        return self.output(PROGRAM, "ours", *words)


class Kafka:
    """The broker, seen by a third party."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        self.admin = self.started(aiokafka.admin.AIOKafkaAdminClient, bootstrap_servers=KAFKA)
        self.producer = self.started(aiokafka.AIOKafkaProducer, bootstrap_servers=KAFKA)
        self.consumer = self.started(aiokafka.AIOKafkaConsumer, bootstrap_servers=KAFKA, enable_auto_commit=False,
                                     fetch_max_wait_ms=50, request_timeout_ms=600_000)

    def started(self, make, **options):
        async def start():
            client = make(**options)
            await client.start()
            return client
        client = self.loop.run_until_complete(start())
        atexit.register(lambda: self.run(client.close() if hasattr(client, "close") else client.stop()))
        return client

    def run(self, awaitable):
        return self.loop.run_until_complete(awaitable)


@functools.cache
def kafka():
    return Kafka()


def create(*names, partitions=1):
    """Creates the topics that do not exist, and returns when the broker reports them."""
    missing = set(names) - topics()
    kafka().run(kafka().admin.create_topics([aiokafka.admin.NewTopic(name, partitions, 1) for name in missing]))
    wait_for(lambda: missing <= topics(), missing)


def topics():
    return set(kafka().run(kafka().admin.list_topics()))


def committed(group, topic):
    """By partition: the committed offset and its note."""
    found = kafka().run(kafka().admin.list_consumer_group_offsets(group))
    return {partition.partition: (offset.offset,
                                  offset.metadata) for partition, offset in found.items() if partition.topic == topic}


def produce(topic, rows):
    """Sends rows of a value and the other arguments of `send`."""
    async def send():
        for one in [await kafka().producer.send(topic, value, **options) for value, options in rows]:
            await one
    kafka().run(send())


async def partitions_of(topic):
    described = (await kafka().admin.describe_topics([topic]))[0]
    return [aiokafka.TopicPartition(topic, one["partition"]) for one in described["partitions"]]


def ends(topic):
    """By partition: the offset of the next record."""
    async def read():
        return await kafka().consumer.end_offsets(await partitions_of(topic))
    return {partition.partition: end for partition, end in kafka().run(read()).items()}


def records(topic):
    """All records, in the order of each partition; none if the topic does not exist."""
    async def read():
        consumer = kafka().consumer
        partitions = await partitions_of(topic)
        if not partitions:
            return []
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        ends = await consumer.end_offsets(partitions)
        found = []
        while any([await consumer.position(partition) < ends[partition] for partition in partitions]):
            for batch in (await consumer.getmany(timeout_ms=1000)).values():
                found += batch
        return sorted(found, key=lambda record: (record.partition, record.offset))
    return kafka().run(read())


def wait_for_records(topic, count, limit=60):
    """The records of the topic, once there are `count`."""
    def enough():
        found = records(topic)
        return found if len(found) >= count else None
    return wait_for(enough, f"{count} records in {topic}", limit)


def values(topic, count):
    return [record.value.decode() for record in wait_for_records(topic, count)]
