"""quix-streams: `run` describes its work and output. SERVERS IN OUT COUNT"""
import sys

from common import Watch
from quixstreams import Application
from quixstreams.internal_producer import InternalProducer

servers, source, target, count = sys.argv[1:]
watch = Watch(int(count))
delivered = InternalProducer._on_delivery


def on_delivery(self, error, message):
    delivered(self, error, message)
    if error is None and message.topic() == target:
        watch.acknowledge()


InternalProducer._on_delivery = on_delivery


def dearer(trade):
    watch.begin()
    trade["price"] *= 1.01
    return trade


app = Application(
    broker_address=servers,
    consumer_group=f"quix-{target}",
    auto_offset_reset="earliest",
    auto_create_topics=False,
    loglevel="ERROR",
    commit_interval=1.0,
    consumer_extra_config={"fetch.min.bytes": 100000, "fetch.wait.max.ms": 100},
    producer_extra_config={
        "linger.ms": 5,
        "batch.size": 1000000,
        "batch.num.messages": 100000,
        "queue.buffering.max.messages": 1000000,
    },
)
trades = app.dataframe(app.topic(source, key_deserializer="bytes", value_deserializer="json"))
trades.apply(dearer).to_topic(app.topic(target, key_serializer="bytes", value_serializer="json"))
app.run()
