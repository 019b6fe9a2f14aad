"""A Faust app with a table of each kind, which our `faust_peer tables ID` also is: `tables.py ID worker`. PEER_BROKER is
Kafka's address."""
import os
import sys
from datetime import timedelta

import faust

app = faust.App(sys.argv.pop(1), broker=os.environ["PEER_BROKER"], topic_partitions=4, broker_commit_interval=0.5)
events = app.topic("events-" + app.conf.id, key_type=str, value_type=int, internal=True)
KEPT = timedelta(hours=1)
counts = app.Table("counts", key_type=str, value_type=int, default=int)
tumbled = app.Table("tumbled", key_type=str, value_type=int, default=int).tumbling(10, expires=KEPT)
hopped = app.Table("hopped", key_type=str, value_type=int, default=int).hopping(10, 5, expires=KEPT, key_index=True)
tagged = app.SetTable("tagged", key_type=str, value_type=int)


@app.agent(events)
async def count(stream):
    async for key, number in stream.items():
        if number < 0:
            if key in counts:  # Faust's pop of an absent key raises, also with a default, and the event is skipped
                del counts[key]
            tagged[key].discard(-number % 10)
        else:
            counts[key] += number
            tagged[key].add(number % 10)
        tumbled[key] += 1
        hopped[key] += 1


if __name__ == "__main__":
    app.main()
