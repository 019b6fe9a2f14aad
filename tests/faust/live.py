"""A Faust app with a live check, whose case faust_peer.cc (`live`) has too. `live.py livecheck` runs its tests;
`live.py begin ID SIDE` begins one here: the order goes to an agent of ours, which sends the other signal."""
import asyncio
import os
import sys
import traceback

import faust
from faust.livecheck import Case, Signal

app = faust.App("pylive", broker=os.environ["PEER_BROKER"], topic_partitions=4, broker_commit_interval=0.5,
                origin="live")
live = app.LiveCheck()
orders = app.topic("live.orders", key_type=str, value_type=str)


@live.case(name="live.OrderTest", probability=1.0, warn_stalled_after=3600)
class OrderTest(Case):
    stored: Signal[str]
    executed: Signal[str]

    async def run(self, side: str) -> None:
        assert await self.stored.wait(timeout=60) == side
        assert await self.executed.wait(timeout=60) == self.current_test.id


async def begin(test_id, side):
    async with OrderTest.maybe_trigger(test_id, side):
        await orders.send(key=test_id, value=test_id)
        await OrderTest.stored.send(side)
    await app.producer.flush()
    await live.producer.flush()


if __name__ == "__main__":
    if sys.argv[1] != "begin":
        app.main()
    try:
        asyncio.get_event_loop().run_until_complete(asyncio.wait_for(begin(*sys.argv[2:]), 50))
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)  # Faust's clients do not end by themselves, and app.stop() never returns
