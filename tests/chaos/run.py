"""A run of dev/chaos on the embedded log: workers are killed, stopped and added at random, and afterwards everything is
accounted for."""
import json
import os
import random
import re
import shutil
import signal
import subprocess
import time

LANES = 48  # sends that are in flight at the same time, in all producers
# Between the transaction and the stores of a commit with state.
STATE_CRASH_POINTS = ["commit.prepared", "commit.before_stores", "commit.between_stores", "commit.stored"]
REWOUND = re.compile(r"starts again from the committed offsets; up to (\d+) records are delivered again")


class InFlight:
    """Asks a process that follows the log (chaos_app.cc) what can be delivered again."""

    def __init__(self, command, place, log):
        self.process = subprocess.Popen(command, cwd=place, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
                                        text=True, bufsize=1)

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        return int(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        return self.process.wait()


class Worker:
    def __init__(self, command, place, log, crash_at, mark):
        environment = dict(os.environ)
        if crash_at:
            environment["MEPHISTO_CRASH_AT"] = crash_at
        self.process = subprocess.Popen(command, cwd=place, stdout=log, stderr=log, env=environment)
        self.crash_at = crash_at
        self.stores = None  # the folder of its stores
        self.mark = mark  # the last mark before it was seen alive
        self.stopped = False
        self.leaving = False  # whether it was told to end


class Run:
    CRASH_POINTS = ["local.in_group", "local.before_commit", "local.after_commit", "commit.before"]
    CRASH_AT_MOST = 40  # how often a crash point is passed before it crashes, at most
    STATE_CRASH_AT_MOST = 6
    # of a worker that was told to end, even if it was told before it could stop gracefully
    LEAVE_CODES = (0, -signal.SIGTERM)
    SECONDS_PER_KILL = 2.3
    CALM_SECONDS = 60

    def __init__(self, binary, place, mode, kills, records, seed, state=False):
        self.state = state
        self.crashed_at = dict.fromkeys(STATE_CRASH_POINTS, 0) if state else {}
        self.binary, self.place, self.mode, self.kills, self.records = binary, place, mode, kills, records
        self.random = random.Random(seed)
        self.workers = []
        self.faults = {"kill": 0, "kill_while_producing": 0, "stop": 0, "killed_by_others": 0, "crash_point": 0,
                       "add": 0}
        self.at_most = 0
        self.wrong = []
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        self.log = open(place / "workers.log", "ab")
        self.set_up()
        self.in_flight = InFlight(self.command("in_flight"), place, self.log)

    def set_up(self):
        """Creates what the run needs besides its programs."""

    def settings(self, program):
        return {"processing_guarantee": self.mode, "topic_partitions": 6, "broker_commit_interval": "0.3s"}

    def command(self, *words):
        return self.command_with({}, *words)

    def command_with(self, settings, *words):
        settings = self.settings(words[0]) | settings
        return [self.binary, *(word for name, value in settings.items() for word in ("--set", f"{name}={value}")),
                *words]

    def mark(self):
        return self.in_flight.ask("mark")

    def died(self, worker):
        """Counts a worker that is gone and was alive at its last mark: what it has done since and not committed is
        delivered again."""
        self.at_most += self.in_flight.ask(f"since {worker.mark}")

    def start_worker(self, healthy=False):
        crash_at = None
        if not healthy and self.random.random() < 0.25:
            crash_at = f"{self.random.choice(self.CRASH_POINTS)}:{self.random.randint(1, self.CRASH_AT_MOST)}"
        elif not healthy and self.state and self.random.random() < 0.5:
            rarest = min(self.crashed_at, key=self.crashed_at.get)
            crash_at = f"{rarest}:{self.random.randint(1, self.STATE_CRASH_AT_MOST)}"
        shards = self.random.choice([1, 2])
        stores = self.free_stores() if self.state and self.random.random() < 0.5 else None
        settings = {"store": "rocksdb://", "tabledir": stores} if stores else {}
        command = self.command_with(settings, "worker", "-q", "-l", "warn", "--shards", str(shards))
        self.workers.append(Worker(command, self.place, self.log, crash_at, self.mark()))
        self.workers[-1].stores = stores
        return self.workers[-1]

    def free_stores(self):
        """A folder that no living worker uses, as if each worker ran on a machine of its own."""
        used = {worker.stores for worker in self.workers}
        return next(name for name in (str(self.place / f"stores-{number}") for number in range(len(used) + 1))
                    if name not in used)

    def start_producers(self, count):
        # Slow enough to last for all the kills, and for workers to kill themselves at all points.
        seconds = self.kills * self.SECONDS_PER_KILL + (15 if self.state else 0)
        pause_ms = max(1, round(seconds * 1000 * LANES / self.records))
        log = open(self.place / "producers.log", "ab")
        producers = []
        for number in range(count):
            name = f"p{number}"
            words = ["produce", "--producer", name, "--acked", str(self.place / f"{name}.acked"), "--count",
                     str(self.records // count), "--keys", "64", "--pause-ms", str(pause_ms)]
            producers.append(subprocess.Popen(self.command(*words), cwd=self.place, stdout=log, stderr=log))
        return producers

    def look_around(self):
        """Notes what is committed, and finds the workers that died since the last check."""
        mark = self.mark()
        alive = []
        for worker in self.workers:
            code = worker.process.poll()
            if code is None:
                worker.mark = mark
                alive.append(worker)
                continue
            if worker.leaving and code in self.LEAVE_CODES:
                if code != 0:
                    self.died(worker)
                continue
            if worker.stopped:
                self.faults["killed_by_others"] += 1
            else:
                self.faults["crash_point"] += 1
                self.died(worker)
                point = (worker.crash_at or "").partition(":")[0]
                if point in self.crashed_at:
                    self.crashed_at[point] += 1
            if code != -signal.SIGKILL:
                self.wrong.append(f"a worker ended by itself with code {code}")
        self.workers = alive

    def wait(self, seconds):
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self.look_around()
            time.sleep(min(left, 0.05))
        self.look_around()

    def kill(self, worker):
        """Exactly the uncommitted offsets of its partitions that have results are delivered again, so it is stopped
        while they are counted."""
        worker.process.send_signal(signal.SIGSTOP)
        self.at_most += self.in_flight.ask(f"results {worker.process.pid}")
        worker.process.kill()
        worker.process.wait()
        self.workers.remove(worker)

    def stop_for_a_while(self, worker):
        """Stops it for longer than its lease. It is fenced when it wakes, or killed if it held the log's write lock."""
        worker.process.send_signal(signal.SIGSTOP)
        self.at_most += self.in_flight.ask(f"records {worker.process.pid}")
        worker.stopped = True
        self.wait(self.random.uniform(2.2, 3.5))
        worker.process.send_signal(signal.SIGCONT)
        worker.stopped = False

    def disturb(self):
        if not self.workers or (len(self.workers) < 3 and self.random.random() < 0.5):
            self.start_worker()
            self.faults["add"] += 1
            return
        victim = self.random.choice(self.workers)
        if self.random.random() < 0.25:
            self.stop_for_a_while(victim)
            self.faults["stop"] += 1
        else:
            self.kill(victim)
            self.faults["kill"] += 1

    def rewound(self):
        """The records that workers say they process again, because a transaction failed."""
        text = (self.place / "workers.log").read_text(errors="replace")
        return sum(int(count) for count in REWOUND.findall(text))

    def extras_at_most(self):
        return self.at_most + self.rewound()

    def result(self):
        words = ["verify", "--mode", self.mode, "--extras-at-most",
                 str(self.extras_at_most() if self.mode == "at_least_once" else 0)]
        for acked in sorted(self.place.glob("*.acked")):
            words += ["--acked", str(acked)]
        try:
            if self.state:
                subprocess.run(self.command("audit"), cwd=self.place, stdout=self.log, stderr=self.log, check=False,
                               timeout=self.CALM_SECONDS)
            run = subprocess.run(self.command(*words), cwd=self.place, capture_output=True, text=True,
                                 timeout=self.CALM_SECONDS)
            return json.loads(run.stdout)
        except json.JSONDecodeError:
            return {"good": False, "error": run.stderr.strip() or run.stdout.strip()}
        except subprocess.TimeoutExpired:
            return {"good": False, "error": "the log cannot be read to its end"}

    def finish_in_calm(self):
        """One healthy worker finishes what is left, and must stop normally."""
        calm = self.start_worker(healthy=True)
        result = {}
        deadline = time.monotonic() + self.CALM_SECONDS
        while time.monotonic() < deadline:
            result = self.result()
            if result.get("good"):
                break
            time.sleep(0.5)
        calm.process.terminate()
        if (code := calm.process.wait()) != 0:
            self.wrong.append(f"the last worker ended with code {code}")
        return result

    def all_visited(self):
        """Whether workers have killed themselves at each point, or cannot any more because nothing is produced."""
        return all(self.crashed_at.values()) or all(one.poll() is not None for one in self.producers)

    def enough(self):
        return self.faults["kill"] >= self.kills and self.all_visited()

    def calm_down(self):
        """Ends every fault that is still active."""

    def tear_down(self):
        """Ends what set_up began, however the run went."""

    def run(self, progress):
        try:
            return self.go(progress)
        finally:
            self.tear_down()

    def go(self, progress):
        started = time.monotonic()
        self.producers = producers = self.start_producers(3)
        for _ in range(2):
            self.start_worker()
        while not self.enough():
            self.wait(self.random.uniform(0.1, 0.8))
            before = self.faults["kill"]
            self.disturb()
            if any(producer.poll() is None for producer in producers):
                self.faults["kill_while_producing"] += self.faults["kill"] - before
            progress(f"{self.mode}: {self.faults['kill']} of {self.kills} kills, {len(self.workers)} workers, "
                     f"{time.monotonic() - started:.0f} s")
        self.calm_down()
        progress(f"{self.mode}: the producers finish, {time.monotonic() - started:.0f} s")
        while any(producer.poll() is None for producer in producers):
            self.wait(0.2)
        self.look_around()
        for worker in list(self.workers):
            self.kill(worker)
        result = self.finish_in_calm()
        failed = [producer.returncode for producer in producers if producer.returncode != 0]
        if failed:
            self.wrong.append(f"producers failed: {failed}")
        if (code := self.in_flight.close()) != 0:
            self.wrong.append(f"in_flight ended with code {code}")
        # The workers check their accounts at every commit and stop. A worker whose account is wrong logs that and ends.
        unbalanced = sum("does not add up" in line
                         for line in (self.place / "workers.log").read_text(errors="replace").splitlines())
        self.wrong += [f"no worker was killed at {point}" for point, count in self.crashed_at.items() if count == 0]
        if self.wrong or unbalanced:
            result["good"] = False
            result["error"] = "; ".join(dict.fromkeys(self.wrong)) or "an account does not add up: see workers.log"
        if self.state:
            self.faults["at"] = self.crashed_at
            result["rewound"] = self.rewound()
        return {**result, "unbalanced_accounts": unbalanced, "faults": self.faults,
                "seconds": round(time.monotonic() - started, 1)}
