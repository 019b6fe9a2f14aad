"""A proxy between the clients and the brokers of a Kafka cluster. Everything passes through it, and is delayed, held or
cut on demand.

A connection's two directions are read as frames of Kafka's protocol, which pass whole and in order. A frame has four
bytes of size; a request continues with api key, version and correlation id, a reply with the correlation id. Held
frames are late, not lost, as on a network that recovers. A cut ends both sides' connection. Everything runs on a thread
of its own.
"""
import asyncio
import contextlib
import socket
import struct
import threading

END_TXN = 26
PASSING = 1024  # frames of a direction that are read before the earlier ones are passed on


class Connection:
    def __init__(self, proxy, broker, client, server):
        self.proxy, self.broker, self.client, self.server = proxy, broker, client, server
        self.unanswered = set()  # correlation ids of the requests whose reply is to be lost

    async def run(self):
        self.proxy.connections.add(self)
        # Each direction runs to its own end, so that what a killed client has sent still arrives.
        await asyncio.gather(self.carry("requests", self.client[0], self.server[1]),
                             self.carry("replies", self.server[0], self.client[1]), return_exceptions=True)
        self.cut()
        self.proxy.connections.discard(self)

    def cut(self):
        for _, writer in (self.client, self.server):
            writer.transport.abort()

    async def carry(self, direction, reader, writer):
        frames = asyncio.Queue(PASSING)
        reading = asyncio.create_task(self.read(reader, frames))
        try:
            while (entry := await frames.get()) is not None:
                came, frame = entry
                await self.obstacles(direction, came)
                if not await getattr(self, f"pass_{direction}")(frame):
                    return
                writer.write(frame)
                await writer.drain()
            writer.close()  # what came before the end has been passed on
        finally:
            reading.cancel()

    async def read(self, reader, frames):
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            while True:
                head = await reader.readexactly(4)
                frame = head + await reader.readexactly(struct.unpack(">i", head)[0])
                await frames.put((asyncio.get_running_loop().time(), frame))
        await frames.put(None)

    async def obstacles(self, direction, came):
        late = came + self.proxy.delay - asyncio.get_running_loop().time()
        if late > 0:
            await asyncio.sleep(late)
        while (self.broker, direction) in self.proxy.black:
            await asyncio.sleep(0.05)

    async def pass_requests(self, frame):
        api, _, correlation = struct.unpack(">hhi", frame[4:12])
        if api != END_TXN:
            return True
        if self.proxy.take("lose"):
            self.unanswered.add(correlation)
        elif self.proxy.take("late"):
            await asyncio.sleep(self.proxy.late_seconds)
        return True

    async def pass_replies(self, frame):
        if struct.unpack(">i", frame[4:8])[0] not in self.unanswered:
            return True
        self.cut()  # a reply can only be lost with the end of the connection
        return False


class Proxy:
    """One listener for each broker; the brokers advertise `ports`. The caller's thread may set faults at any time."""

    def __init__(self, brokers):
        self.listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(brokers)]
        self.ports = [one.getsockname()[1] for one in self.listeners]
        self.connections = set()
        self.delay = 0.0  # seconds that each frame takes
        self.black = set()  # pairs of (broker, "requests" or "replies"): frames of these directions are held
        self.orders = {"lose": 0, "late": 0}  # for the next EndTxn: its reply is lost; its reply is late
        self.done = {"lose": 0, "late": 0}
        self.late_seconds = 0.0
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)

    def start(self, targets):
        """Passes everything from the n-th listener on to the n-th target's port."""
        self.thread.start()
        for broker, (listener, target) in enumerate(zip(self.listeners, targets)):
            asyncio.run_coroutine_threadsafe(self.serve(broker, listener, target), self.loop).result()

    async def serve(self, broker, listener, target):
        async def connected(*client):
            try:
                server = await asyncio.open_connection("127.0.0.1", target)
            except OSError:
                client[1].transport.abort()
                return
            await Connection(self, broker, client, server).run()

        await asyncio.start_server(connected, sock=listener)

    def take(self, order):
        if self.orders[order] == 0:
            return False
        self.orders[order] -= 1
        self.done[order] += 1
        return True

    def cut(self, broker):
        self.loop.call_soon_threadsafe(lambda: [one.cut() for one in list(self.connections) if one.broker == broker])

    def calm(self):
        self.delay = 0.0
        self.black.clear()
        self.orders = dict.fromkeys(self.orders, 0)

    def stop(self):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
