"""caller.py headers|envelope TOPIC NUMBER: a Faust client that calls the agents of faust_peer.cc by headers or
envelopes, and prints the answers as JSON. One answer goes to TOPIC, and NUMBER is cast to the first of the sinks."""
import asyncio
import json
import os
import sys
import traceback

import faust
from models import Circle, Drawing, Line, Point, Square

app = faust.App("caller", broker=os.environ["PEER_BROKER"], topic_partitions=4)
LINE = Line(start=Point(x=1, y=0.5), end=Point(x=2, y=1e-7), label=None)
DRAWING = Drawing(name="two",
                  shapes=[Circle(centre=Point(x=0, y=0.0), radius=1.5), Square(corner=Point(x=1, y=1.0), side=2.0)])


def agent(name, **types):
    @app.agent(app.topic(f"ours.{name}", **types), name=name, use_reply_headers=sys.argv[1] == "headers")
    async def remote(stream):
        async for value in stream:
            yield value
    return remote


square = agent("square", value_type=int)
shout = agent("shout", value_type=str, key_type=str)
ping = agent("ping")
turn = agent("turn", value_type=Line)
grow = agent("grow", value_type=Drawing)
refuse = agent("refuse", value_type=int)
sunk = agent("sunk", value_type=int)


async def main():
    first = await asyncio.wait_for(square.ask(7), 60)
    turned = await turn.ask(LINE)
    grown = await grow.ask(DRAWING)
    assert isinstance(turned, Line) and isinstance(grown, Drawing), (turned, grown)
    got = {
        "square": first,
        "shout": await shout.ask("straße", key="k"),
        "ping": await ping.ask(),
        "turn": json.loads(turned.dumps(serializer="json")),
        "grow": json.loads(grown.dumps(serializer="json")),
        "map": sorted([result async for result in square.map([1, 2, 3])]),
        "join": await square.join([4, 5, 6]),
        "refuse": await refuse.ask(1),
    }
    await square.send(value=8, reply_to=sys.argv[2], correlation_id="caller")
    await sunk.cast(int(sys.argv[3]))
    await app.producer.flush()
    print(json.dumps(got), flush=True)


try:
    asyncio.get_event_loop().run_until_complete(asyncio.wait_for(main(), 50))
except BaseException:
    traceback.print_exc()
    os._exit(1)
os._exit(0)  # Faust's clients do not end by themselves, and app.stop() never returns
