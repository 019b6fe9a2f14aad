"""A run of dev/chaos on three brokers of Apache Kafka.

Workers and producers reach the brokers through a proxy (proxy.py); processes that observe the log from outside do not
use it. As on the embedded log, workers are killed, stopped and added. In addition, brokers are killed one after the
other, members join and leave in storms, and the network fails.

Under at least once, `extras_at_most` limits how many results may be there twice. It is the sum of
- for each worker that was killed: its results (they carry its process id) of offsets that the group had not
  committed when the worker was last seen alive, at most some tenths of a second before. They are counted at the end,
  when everything that it had sent has arrived.
- for each time that a worker was removed from the group, or that its last commit of a partition was refused: the
  records that it had begun and not committed, as it says itself in its log. A worker is removed because it was
  stopped, or because the brokers did not hear of it in time. The partition's next owner begins at the commit, so it
  cannot be more.
- with --state, for each time that a transaction failed: the same of all partitions of that shard.
Under exactly once, no result may be there twice.
"""
import os
import pathlib
import re
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time

from proxy import Proxy
from run import Run

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BROKERS = 3
# Seconds that each fault of the network lasts.
NETWORK = {"slow": 4, "requests_held": 6, "replies_held": 6, "cut": 0, "end_lost": 0, "end_late": 0}
LATE_SECONDS = 13  # longer than the brokers leave a transaction open (transaction.cc: 10 s)
STORM_STEPS = 8
UNMOVED_SECONDS = 10  # after a fault of workers, the next one waits at most this long for a commit
OPEN = ["Ongoing", "PrepareCommit", "PrepareAbort"]


def compact(texts):
    return bytes([len(texts) + 1]) + b"".join(bytes([len(text) + 1]) + text.encode() for text in texts)


def open_transactions(port):
    """How many transactions the broker at `port` coordinates (Kafka protocol: ListTransactions, version 0)."""
    request = struct.pack(">hhih", 66, 0, 1, -1) + b"\0" + compact(OPEN) + compact([]) + b"\0"
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(struct.pack(">i", len(request)) + request)
        with connection.makefile("rb") as answer:
            frame = answer.read(struct.unpack(">i", answer.read(4))[0])
    error, unknown, count = struct.unpack(">hbb", frame[9:13])  # after correlation, tags and throttle time
    if error != 0 or unknown != 1:
        raise OSError(f"the broker at {port} does not list its transactions: error {error}")
    return count - 1


class Marks(threading.Thread):
    """Notes repeatedly what the group has committed. While brokers are unreachable, that takes as long as they need."""

    def __init__(self, in_flight):
        super().__init__(daemon=True)
        self.in_flight, self.last, self.ended = in_flight, in_flight.ask("mark"), threading.Event()
        self.committed = 0  # records
        self.standstill = 0.0  # the longest time without a commit
        self.start()

    def run(self):
        since = time.monotonic()
        while not self.ended.wait(0.2):
            try:
                mark = self.in_flight.ask("mark")
            except (OSError, ValueError):
                return  # it has ended together with the run
            self.last = mark
            now, before = time.monotonic(), self.committed
            self.committed = self.in_flight.ask(f"committed {mark}")
            self.standstill = max(self.standstill, now - since)
            if self.committed > before:
                since = now

    def stop(self):
        self.ended.set()
        self.join()


class KafkaRun(Run):
    CRASH_AT_MOST = 8
    STATE_CRASH_AT_MOST = 1
    # 1: the brokers did not take its last commit in time (setting drain_timeout), as its log says
    LEAVE_CODES = (*Run.LEAVE_CODES, 1)
    SECONDS_PER_KILL = 5
    CALM_SECONDS = 120

    def __init__(self, binary, place, mode, kills, records, seed, broker_kills, stop_seconds, state=False):
        self.broker_kills, self.stop_seconds = broker_kills, stop_seconds
        self.CRASH_POINTS = (["commit.before"] if mode == "at_least_once"
                             else ["kafka.offsets_sent", "kafka.before_commit", "kafka.after_commit", "commit.before"])
        # In memory if there is enough of it: when a busy disk keeps the brokers' controllers waiting, they vote anew.
        memory = shutil.disk_usage("/dev/shm").free > 4 << 30 if os.path.isdir("/dev/shm") else False
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="chaos-", dir="/dev/shm" if memory else None), "kafka")
        self.later = []  # (when, the action that is due then)
        self.restarting = None  # the process that starts the killed broker again
        self.broker_down = False
        self.network_busy = False
        self.dead = []  # (process id, mark)
        self.late = 0  # workers that left without their last commit
        self.committed_then, self.hit = 0, time.monotonic()  # when a worker was last killed or stopped
        super().__init__(binary, place, mode, kills, records, seed, state)
        self.faults |= {"long_stop": 0, "storm": 0, "broker_kill": 0, **dict.fromkeys(NETWORK, 0)}
        self.marks = Marks(self.in_flight)

    def kafka(self, command, *words):
        return [ROOT / "dev/kafka", command, "--dir", self.folder, *words]

    def set_up(self):
        self.proxy = Proxy(BROKERS)
        self.proxy.late_seconds = LATE_SECONDS
        start = self.kafka("start", "--brokers", str(BROKERS), "--proxies", ",".join(map(str, self.proxy.ports)))
        listeners = subprocess.run(start, check=True, stdout=subprocess.PIPE, text=True).stdout.split()
        self.direct, behind = ([int(one.rpartition(":")[2]) for one in line.split(",")] for line in listeners)
        self.proxy.start(behind)

    def tear_down(self):
        self.in_flight.process.kill()
        for worker in self.workers:
            worker.process.kill()
        if self.restarting:
            self.restarting.wait()
        for node in range(1, BROKERS + 1):
            subprocess.run(self.kafka("kill", str(node)), check=True)
        subprocess.run(self.kafka("stop"), check=True)
        self.folder.parent.rmdir()
        self.proxy.stop()

    def settings(self, program):
        ports = self.direct if program in ("in_flight", "verify") else self.proxy.ports
        return super().settings(program) | {"broker": "kafka://" + ",".join(f"127.0.0.1:{port}" for port in ports),
                                            "topic_replication_factor": BROKERS}

    def start_producers(self, count):
        """A sender outside of the cluster gets an error if no broker answers, and gives up. So all faults wait until
        the producers have begun."""
        producers = super().start_producers(count)
        acked = [self.place / f"p{number}.acked" for number in range(count)]
        while (not all(file.exists() and file.stat().st_size for file in acked)
               and all(producer.poll() is None for producer in producers)):
            time.sleep(0.05)
        return producers

    # The faults.

    def at(self, seconds, action):
        self.later.append((time.monotonic() + seconds, action))

    def look_around(self):
        super().look_around()
        now = time.monotonic()
        for entry in [one for one in self.later if one[0] <= now]:
            self.later.remove(entry)
            entry[1]()
        if self.restarting and self.restarting.poll() is not None:
            if self.restarting.returncode != 0:
                self.wrong.append("a broker does not start again")
            self.restarting, self.broker_down = None, False

    def disturb(self):
        if (not self.broker_down
                and self.faults["broker_kill"] / self.broker_kills <= self.faults["kill"] / self.kills
                and not self.enough()):
            self.kill_broker()
        steady = [worker for worker in self.workers if not worker.stopped and not worker.leaving]
        if len(steady) < 2 or (len(steady) < 3 and self.random.random() < 0.5):
            self.start_worker()
            self.faults["add"] += 1
            return
        choice = self.random.random()
        if choice < 0.25:
            if not self.network_busy:
                self.disturb_network()
            return
        # Faults of workers hit workers that have something to lose.
        if self.marks.committed == self.committed_then and time.monotonic() < self.hit + UNMOVED_SECONDS:
            return
        self.committed_then, self.hit = self.marks.committed, time.monotonic()
        if choice < 0.85:
            self.kill(self.random.choice(steady))
            self.faults["kill"] += 1
        elif choice < 0.95:
            self.stop_for_a_while(self.random.choice(steady))
        else:
            self.storm()

    def enough(self):
        return super().enough() and self.faults["broker_kill"] >= self.broker_kills

    def mark(self):
        return self.marks.last

    def died(self, worker):
        self.dead.append((worker.process.pid, worker.mark))
        self.late += worker.process.returncode == 1

    def kill(self, worker):
        worker.process.kill()
        worker.process.wait()
        self.workers.remove(worker)
        self.died(worker)

    def stop_for_a_while(self, worker):
        """Stops it for longer than its session, and sometimes for longer than anything waits for it."""
        long = self.faults["long_stop"] == 0 or self.random.random() < 0.15
        long = long and not any(one.stopped for one in self.workers)
        self.faults["long_stop" if long else "stop"] += 1
        worker.process.send_signal(signal.SIGSTOP)
        worker.stopped = True

        def wake():
            worker.process.send_signal(signal.SIGCONT)
            worker.stopped = False

        self.at(self.stop_seconds if long else self.random.uniform(2.5, 6), wake)

    def storm(self):
        """Workers join, and leave when they are told to, before the group has settled."""
        self.faults["storm"] += 1

        def leave():
            steady = [worker for worker in self.workers if not worker.stopped and not worker.leaving]
            if len(steady) > 1:
                worker = self.random.choice(steady)
                worker.leaving = True
                worker.process.terminate()

        for step in range(STORM_STEPS):
            self.at(step * self.random.uniform(0.4, 0.8),
                    leave if step % 2 else lambda: self.start_worker(healthy=True))

    def kill_broker(self):
        node = self.faults["broker_kill"] % BROKERS + 1
        self.faults["broker_kill"] += 1
        self.broker_down = True
        subprocess.run(self.kafka("kill", str(node)), check=True)

        def restart():
            self.restarting = subprocess.Popen(self.kafka("start"), stdout=subprocess.DEVNULL)

        self.at(self.random.uniform(1, 8), restart)

    def disturb_network(self):
        kind = self.random.choice([one for one in NETWORK if self.mode == "exactly_once" or not one.startswith("end")])
        self.faults[kind] += 1
        broker = self.random.randrange(BROKERS)
        if kind == "slow":
            self.proxy.delay = self.random.uniform(0.05, 0.3)
        elif kind.endswith("held"):
            self.proxy.black.add((broker, kind.removesuffix("_held")))
        elif kind == "cut":
            self.proxy.cut(broker)
        else:
            self.proxy.orders["lose" if kind == "end_lost" else "late"] += 1
        if NETWORK[kind] == 0:
            return
        self.network_busy = True

        def heal():
            self.proxy.calm()
            self.network_busy = False

        self.at(NETWORK[kind], heal)

    def calm_down(self):
        while self.later or self.restarting:
            self.wait(0.1)
        self.proxy.calm()

    # The counts.

    def extras_at_most(self):
        text = (self.place / "workers.log").read_text(errors="replace")
        told = sum(int(count) for count in re.findall(r"(\d+) records are delivered again", text))
        return self.at_most + told

    def finish_in_calm(self):
        self.marks.stop()
        if self.mode == "at_least_once":
            self.at_most = sum(self.in_flight.ask(f"by {pid} {mark}") for pid, mark in self.dead)
        result = super().finish_in_calm()
        logged = (self.place / "workers.log").read_text(errors="replace")
        said = logged.count("the log has not taken the last commit within")
        if said < self.late:  # a worker that says so may be killed before it has left
            self.wrong.append(f"{self.late} workers left with code 1, and {said} say that the log has not taken their "
                              "last commit")
        deadline = time.monotonic() + self.CALM_SECONDS
        while (count := sum(map(open_transactions, self.direct))) > 0 and time.monotonic() < deadline:
            time.sleep(0.5)
        if count > 0:
            self.wrong.append(f"{count} transactions are open")
        self.faults |= {"end_lost": self.proxy.done["lose"], "end_late": self.proxy.done["late"]}
        return {**result, "open_transactions": count, "longest_standstill": round(self.marks.standstill, 1)}
