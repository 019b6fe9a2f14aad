"""What a crashed client leaves: requests of Kafka's protocol, one by one, to a cluster of one broker."""
import socket
import struct
import time

FIND_COORDINATOR, INIT_PRODUCER_ID, ADD_PARTITIONS, END_TXN, TXN_OFFSET_COMMIT, PRODUCE = 10, 22, 24, 26, 28, 0
TRANSACTIONAL = 0x10
NOT_YET = (14, 15, 16, 51)  # the coordinator is loading, not known, or ends the transaction before


def text(value):
    return struct.pack(">h", len(value)) + value.encode()


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def varint(value):
    value = value << 1 if value >= 0 else (-value << 1) - 1
    out = b""
    while value >= 0x80:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def batch(producer, epoch, value):
    """One record of a transaction."""
    record = b"\0" + varint(0) + varint(0) + varint(-1) + varint(len(value)) + value + varint(0)
    record = varint(len(record)) + record
    now = int(time.time() * 1000)
    rest = struct.pack(">hiqqqhii", TRANSACTIONAL, 0, now, now, producer, epoch, 0, 1) + record
    return struct.pack(">qiibI", 0, 9 + len(rest), 0, 2, crc32c(rest)) + rest


class Client:
    def __init__(self, port, name):
        self.port, self.name = port, name
        # The first request makes the brokers create their topic for transactions.
        self.until_ready(FIND_COORDINATOR, 1, text(name) + b"\1", lambda body: struct.unpack(">h", body[4:6])[0])
        answer = self.until_ready(INIT_PRODUCER_ID, 0, text(name) + struct.pack(">i", 600_000),
                                  lambda body: struct.unpack(">h", body[4:6])[0])
        self.producer, self.epoch = struct.unpack(">qh", answer[6:16])

    def ask(self, kind, version, body):
        request = struct.pack(">hhi", kind, version, 1) + text("raw") + body
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            connection.sendall(struct.pack(">i", len(request)) + request)
            with connection.makefile("rb") as answer:
                return answer.read(struct.unpack(">i", answer.read(4))[0])[4:]

    def until_ready(self, kind, version, body, error_of):
        deadline = time.monotonic() + 30
        while True:
            answer = self.ask(kind, version, body)
            error = error_of(answer)
            if error == 0:
                return answer
            if error not in NOT_YET or time.monotonic() > deadline:
                raise AssertionError(f"request {kind} of {self.name}: error {error}")
            time.sleep(0.05)  # between two attempts

    def places(self, topic, partition):
        return struct.pack(">i", 1) + text(topic) + struct.pack(">i", 1) + struct.pack(">i", partition)

    def begin(self, topic, partition):
        """Announces the partition to the coordinator. Without this, nobody knows that the transaction there has to be
        ended."""
        body = text(self.name) + struct.pack(">qh", self.producer, self.epoch) + self.places(topic, partition)
        self.until_ready(ADD_PARTITIONS, 0, body, lambda answer: struct.unpack(">h", answer[-2:])[0])

    def write(self, topic, partition, value):
        """Writes the record and returns its offset."""
        records = batch(self.producer, self.epoch, value)
        body = (text(self.name) + struct.pack(">hi", -1, 10_000) + self.places(topic, partition)
                + struct.pack(">i", len(records)) + records)
        answer = self.until_ready(PRODUCE, 3, body,
                                  lambda answer: struct.unpack(">h", answer[14 + len(topic):16 + len(topic)])[0])
        return struct.unpack(">q", answer[16 + len(topic):24 + len(topic)])[0]

    def commit(self, group, topic, partition, offset):
        body = (text(self.name) + text(group) + struct.pack(">qh", self.producer, self.epoch)
                + self.places(topic, partition) + struct.pack(">qh", offset, -1))
        self.until_ready(TXN_OFFSET_COMMIT, 0, body, lambda answer: struct.unpack(">h", answer[-2:])[0])

    def end(self, commit):
        self.until_ready(END_TXN, 0, text(self.name) + struct.pack(">qhb", self.producer, self.epoch, commit),
                         lambda answer: struct.unpack(">h", answer[4:6])[0])
