"""faust-streaming: `run` describes its work and output. SERVERS IN OUT COUNT"""
import sys

import faust
from common import Watch

servers, source, target, count = sys.argv[1:]
watch = Watch(int(count))


class Trade(faust.Record, serializer="json"):
    symbol: str
    price: float
    volume: int
    time: int
    venue: str


app = faust.App(
    f"faust-{target}",
    broker=[f"kafka://{server}" for server in servers.split(",")],
    datadir="build/peers/faust",
    topic_partitions=8,
    topic_allow_declare=False,  # Kafka 4 no longer supports Faust's request
    topic_disable_leader=True,
    consumer_auto_offset_reset="earliest",
    broker_max_poll_records=10000,
    stream_buffer_maxsize=16384,
    stream_wait_empty=False,
    producer_linger=0.005,
    producer_max_batch_size=262144,
    web_enabled=False,
)
incoming = app.topic(source, key_type=bytes, value_type=Trade)
outgoing = app.topic(target, key_type=bytes, value_type=Trade)


def acknowledged(message):
    message.result()
    watch.acknowledge()


@app.agent(incoming)
async def dearer(stream):
    async for event in stream.events():
        watch.begin()
        trade = event.value
        trade.price *= 1.01
        await outgoing.send(key=event.key, value=trade, callback=acknowledged)


sys.argv = ["faust", "--quiet", "--loop", "uvloop", "worker", "--loglevel", "error", "--without-web"]
app.main()
