"""A Faust app that sends the golden vectors (tests/codec/data/json_vectors.tsv), and sends back what returns. PEER_JSON
is its dialect."""
import datetime
import json
import os
import struct
import sys

DIALECT = os.environ["PEER_JSON"]
if DIALECT == "stdlib":
    sys.modules["orjson"] = None
import faust

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
PATH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../codec/data/json_vectors.tsv")


def double(text):
    return struct.unpack(">d", bytes.fromhex(text))[0]


def string(text):
    return bytes.fromhex(text).decode()


def listed(item, text):
    return [item(part) for part in text.split(";")[:-1]]


def ints_by_name(text):
    named = [part.split("=") for part in text.split("/")[:-1]]
    return {string(name): listed(lambda item: None if item == "null" else int(item), items) for name, items in named}


VALUE_OF = {
    "double": double,
    "int": int,
    "uint": int,
    "string": string,
    "bytes": lambda text: [bytes.fromhex(text)],
    "bytes_quoted": lambda text: [bytes.fromhex(text)],
    "datetime": lambda text: EPOCH + datetime.timedelta(microseconds=int(text)),
    "date": lambda text: (EPOCH + datetime.timedelta(days=int(text))).date(),
    "doubles": lambda text: listed(double, text),
    "strings": lambda text: listed(string, text),
    "ints_by_name": ints_by_name,
    "tree": lambda text: json.loads(string(text)),
}

app = faust.App(f"vectors-{DIALECT}", broker=os.environ["PEER_BROKER"])
out = {kind: app.topic(f"vectors.{kind}", partitions=1) for kind in VALUE_OF}
again = app.topic("vectors.again", partitions=1)


@app.task
async def send():
    with open(PATH, newline="\n") as file:
        for line in file:
            kind, text, _, _ = line.rstrip("\n").split("\t")
            await out[kind].send(key=DIALECT, value=VALUE_OF[kind](text))


@app.agent(app.topic(*[f"vectors.{kind}.back" for kind in VALUE_OF], partitions=1))
async def forward(stream):
    async for event in stream.events():
        if event.key == DIALECT.encode():
            kind = event.message.topic.split(".")[1]
            await again.send(key=f"{DIALECT}/{kind}", value=event.value)


if __name__ == "__main__":
    app.main()
