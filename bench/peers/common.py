"""The shared parts of the peers in Python."""
import os
import time

# The frameworks print other things to stdout, which this sends to stderr.
figures = os.dup(1)
os.dup2(2, 1)


class Watch:
    """Counts acknowledged records. At the last one, prints records per second and peak memory, and ends the process."""

    def __init__(self, count):
        self.count = count
        self.acknowledged = 0
        self.started = None

    def begin(self):
        if self.started is None:
            self.started = time.monotonic()

    def acknowledge(self):
        self.acknowledged += 1
        if self.acknowledged == self.count:
            seconds = time.monotonic() - self.started
            with open("/proc/self/status") as status:
                peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
            os.write(figures, f"{self.count / seconds:.0f} {peak / 1024:.1f}\n".encode())
            os._exit(0)
