"""The Faust apps on the other side of faust_peer.cc: `peer.py peer worker` and `peer.py moving worker`. PEER_BROKER is
Kafka's address. Without the package orjson, which PEER_JSON=stdlib hides, Faust writes the other dialect of JSON."""
import asyncio
import os
import sys

if os.environ.get("PEER_JSON") == "stdlib":
    sys.modules["orjson"] = None
import faust
from models import Drawing, Line, Numbered, Order

SETTINGS = {"broker": os.environ["PEER_BROKER"], "topic_partitions": 4, "broker_commit_interval": 0.5}
peer = faust.App("peer", **SETTINGS)
moving = faust.App("moving", **SETTINGS)


def declared(app, name, **options):
    return app.topic(name, internal=True, **options)


@peer.agent(declared(peer, "peer.square", value_type=int))
async def square(numbers):
    async for number in numbers:
        yield number * number


@peer.agent(declared(peer, "peer.shout", value_type=str, key_type=str))
async def shout(texts):
    async for text in texts:
        yield text.upper()


@peer.agent(declared(peer, "peer.ping"))
async def ping(stream):
    async for value in stream:
        yield value


@peer.agent(declared(peer, "peer.turn", value_type=Line))
async def turn(lines):
    async for line in lines:
        yield Line(start=line.end, end=line.start, label=line.label)


@peer.agent(declared(peer, "peer.grow", value_type=Drawing))
async def grow(drawings):
    async for drawing in drawings:
        yield drawing.doubled()


@peer.agent(declared(peer, "peer.wait", value_type=float))
async def wait(delays):
    async for seconds in delays:
        await asyncio.sleep(seconds)
        yield seconds


# A chain of sinks: peer.sink -> our agent `sunk` -> peer.sunk -> sunk.end
@peer.agent(declared(peer, "peer.sink", value_type=int), sink=[peer.topic("ours.sunk", value_type=int)])
async def sink(numbers):
    async for number in numbers:
        yield number + 1


@peer.agent(declared(peer, "peer.sunk", value_type=int), sink=[peer.topic("sunk.end", value_type=int)])
async def sunk(numbers):
    async for number in numbers:
        yield number + 1


# The chain: chain-1 -> here -> chain-2 -> our agent `link` -> chain-3 -> here -> chain-4
def link(source, target):
    @peer.agent(declared(peer, source, value_type=Numbered), name=f"link.{source}")
    async def pass_on(stream):
        async for event in stream.events():
            await target.send(key=event.key, value=Numbered(number=event.value.number, by=[*event.value.by, "faust"]))


link("chain-1", peer.topic("chain-2", value_type=Numbered))
link("chain-3", peer.topic("chain-4", value_type=Numbered))

@peer.agent(declared(peer, "peer.orders", value_type=Order), name="peer.group")
async def group(orders):
    async for _ in orders.group_by(Order.customer):
        pass


moved = moving.topic("moved")


@moving.agent(declared(moving, "moving", value_type=int))
async def move(stream):
    async for event in stream.events():
        await moved.send(key=event.key,
                         value={"number": event.value, "by": "faust", "partition": event.message.partition,
                                "offset": event.message.offset})


if __name__ == "__main__":
    {"peer": peer, "moving": moving}[sys.argv.pop(1)].main()
