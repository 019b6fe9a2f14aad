"""A participant's count in memory is exact, however often its process is killed (tests/stream/counter.h)."""
import os
import pathlib
import subprocess
import unittest

from support import Scene, wait_for

PROGRAM = pathlib.Path(os.environ["MEPHISTO_BIN_DIR"]).parent / "tests/counter_app"
KILLS = 50
RECORDS = 2_000  # at each start


class Counting(Scene):
    def program(self, *words):
        return [PROGRAM, words[0], self.folder / "log", *map(str, words[1:])]

    def counts(self):
        """Of each partition the count, and how many events are committed: those before the offset, and those that its
        metadata names, `count:2-4,7`."""
        done = subprocess.run(self.program("counts"), capture_output=True, text=True, check=True)
        for line in done.stdout.splitlines():
            count, offset, ahead = (line.split(" ") + [""])[:3]
            ranges = [one.split("-") for one in ahead.removeprefix("count:").split(",") if one]
            yield int(count), int(offset) + sum(int(one[-1]) - int(one[0]) + 1 for one in ranges)

    def start(self):
        with (self.folder / "worker.log").open("a") as log:
            self.worker = subprocess.Popen(self.program("run"), stdout=subprocess.PIPE, stderr=log, text=True)
        self.addCleanup(self.kill, self.worker)

    @staticmethod
    def kill(worker):
        worker.kill()
        worker.wait()
        worker.stdout.close()

    def test_fifty_kills(self):
        producers = []
        for _ in range(KILLS):
            self.start()
            producers.append(subprocess.Popen(self.program("produce", RECORDS)))
            # The worker goes on while this process reads the line: the kill comes at any step of the next transactions.
            self.assertEqual(self.worker.stdout.readline(), "committed\n", (self.folder / "worker.log").read_text())
            self.kill(self.worker)
            for count, committed in self.counts():
                self.assertEqual(count, committed, "what is committed is counted, and nothing else")
        self.start()
        for producer in producers:
            self.assertEqual(producer.wait(), 0)
        wait_for(lambda: sum(committed for _, committed in self.counts()) == KILLS * RECORDS, lambda: list(self.counts()))
        for count, committed in self.counts():
            self.assertEqual(count, committed)


if __name__ == "__main__":
    unittest.main()
