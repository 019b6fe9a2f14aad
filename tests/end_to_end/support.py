"""What the end-to-end tests share: the programs, folders of their own, processes that always end, and waiting for
conditions."""
import codecs
import fcntl
import json
import os
import pathlib
import pty
import re
import resource
import select
import shutil
import signal
import struct
import subprocess
import tempfile
import termios
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BIN = pathlib.Path(os.environ.get("MEPHISTO_BIN_DIR", ROOT / "build/release/bin")).resolve()
HORTON, MEPHISTO, LIBHORTON = str(BIN / "horton"), str(BIN / "mephisto"), str(BIN / "libhorton.so")
AGENTS = ["collect_securities", "collect_security_overview"]
PARTITIONS = 49  # of the topics that Horton consumes: 8 of each of six, and the leader's
LIMIT = 60  # seconds that a command may take on a busy machine; a hanging command is noticed after them too
STACK_TRACE = re.compile(r"terminate called|what\(\):|AddressSanitizer|runtime error:|Segmentation|Aborted|^#\d+ |"
                         "std::|Assertion", re.MULTILINE)


def environment(extra=None):
    """This process's environment without variables that would change settings, and with those that the test adds."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("HORTON_", "MEPHISTO_"))}
    # libmongoc's counters in shared memory outlive a killed process, and the next process with its number complains.
    clean.update(extra or {}, TZ="UTC", LC_ALL="C.UTF-8", MONGOC_DISABLE_SHM="1")
    return clean


def no_core():
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def run(*words, folder, env=None, limit=LIMIT, user=None, stdin=None):
    """The command's CompletedProcess, with text. A TimeoutExpired fails the test."""
    def prepare():
        no_core()
        if user is not None:
            os.setgroups([])
            os.setgid(user)
            os.setuid(user)
    return subprocess.run([str(word) for word in words], cwd=folder, env=environment(env), input=stdin,
                          capture_output=True, text=True, errors="replace", timeout=limit,
                          preexec_fn=prepare)


def wait_for(condition, what, limit=LIMIT):
    """The condition's first true value."""
    deadline = time.monotonic() + limit
    while True:
        if value := condition():
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {limit} s: {what() if callable(what) else what}")
        time.sleep(0.02)  # between two checks of the condition


class Process:
    """A program in the background whose output goes to files."""

    def __init__(self, *words, folder, env=None, name="process"):
        base = pathlib.Path(tempfile.mkdtemp(prefix=f"{name}-", dir=folder))
        self.stdout_path, self.stderr_path = base / "stdout", base / "stderr"
        with open(self.stdout_path, "wb") as out, open(self.stderr_path, "wb") as err:
            self.child = subprocess.Popen([str(word) for word in words], cwd=folder, env=environment(env),
                                          stdin=subprocess.DEVNULL, stdout=out, stderr=err, preexec_fn=no_core)
        self.name = name

    pid = property(lambda self: self.child.pid)
    stdout = property(lambda self: self.stdout_path.read_text(errors="replace"))
    stderr = property(lambda self: self.stderr_path.read_text(errors="replace"))

    def wait_for(self, pattern, stream="stderr", limit=LIMIT):
        """The first match of the pattern in the output, now or later."""
        def look():
            ended = self.child.poll()
            found = re.search(pattern, getattr(self, stream), re.MULTILINE)
            if not found and ended is not None:
                raise AssertionError(f"{self.name} ended with {ended} before it wrote {pattern!r}:\n{self.stdout}\n"
                                     f"{self.stderr}")
            return found
        return wait_for(look, lambda: f"{pattern!r} in {self.name}'s {stream}:\n{getattr(self, stream)[-3000:]}", limit)

    def signal(self, number):
        self.child.send_signal(number)

    def wait(self, limit=LIMIT):
        return self.child.wait(limit)

    def end(self):
        """Ends it in any state, even if it is stopped."""
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGCONT)
            self.child.kill()
        self.child.wait(LIMIT)


class Terminal:
    """A program at a terminal of 80 columns."""

    def __init__(self, *words, folder, env=None, columns=80):
        self.own, other = pty.openpty()
        fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
        self.child = subprocess.Popen([str(word) for word in words], cwd=folder, env=environment(env), stdin=other,
                                      stdout=other, stderr=other, start_new_session=True,
                                      preexec_fn=lambda: (no_core(), fcntl.ioctl(0, termios.TIOCSCTTY, 0)))
        os.close(other)
        self.output = ""
        self.decoder = codecs.getincrementaldecoder("utf-8")("replace")  # a read may end within a character
        self.answered = 0

    def read(self, seconds):
        """Reads what has arrived, or arrives within the time; False at the end."""
        if not select.select([self.own], [], [], seconds)[0]:
            return True
        try:
            data = os.read(self.own, 1 << 16)
        except OSError:  # the last program has ended
            data = b""
        self.output += self.decoder.decode(data)
        return bool(data)

    def wait_for(self, pattern, limit=LIMIT):
        deadline = time.monotonic() + limit
        while not (found := re.compile(pattern, re.MULTILINE).search(self.output, self.answered)):
            if not self.read(0.1) or time.monotonic() > deadline:
                raise AssertionError(f"{pattern!r} does not come at the terminal:\n{self.output!r}")
        self.answered = found.end()
        return found

    def answer(self, text, pattern):
        """Types the text, and returns the first group of the pattern's match after it."""
        os.write(self.own, text.encode())
        return self.wait_for(pattern).group(1)

    def wait(self, limit=LIMIT):
        """The whole output, when the program has ended."""
        deadline = time.monotonic() + limit
        while self.read(0.1):
            if time.monotonic() > deadline:
                raise AssertionError(f"does not end:\n{self.output!r}")
        self.child.wait(limit)
        return self.output.replace("\r\n", "\n")

    def end(self):
        if self.child.poll() is None:
            self.child.kill()
        self.child.wait(LIMIT)
        os.close(self.own)


class Scene(unittest.TestCase):
    """A test class with a folder, and processes that end with it."""
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="mephisto-end-to-end-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder, True)

    @classmethod
    def start(cls, *words, folder=None, env=None, name="process"):
        process = Process(*words, folder=folder or cls.folder, env=env, name=name)
        cls.addClassCleanup(process.end)
        return process

    @classmethod
    def start_market(cls, *options):
        """Starts a stand-in market and returns its URL."""
        market = cls.start(HORTON, "market", "--port", "0", *options, name="market")
        return market.wait_for(r"The market is open: (http://127\.0\.0\.1:\d+/)$", stream="stdout").group(1)

    @classmethod
    def start_worker(cls, *options, folder=None, env=None, ready=True):
        worker = cls.start(HORTON, "worker", "--without-web", "-l", "info", *options, folder=folder, env=env,
                           name="worker")
        if ready:
            worker.wait_for(r" - Worker ready$")
        return worker

    @classmethod
    def config(cls, url, more="", folder=None):
        ((folder or cls.folder) / "config.yml").write_text(
            f"service:\n  apiendpoint: {url}\n  apikey: not-to-be-shown\n  refresh: false\n{more}")

    def horton(self, *words, **how):
        return run(HORTON, *words, folder=how.pop("folder", self.folder), **how)

    def rows(self, *words, **how):
        """What a listing command prints with --json: one array on one line, and nothing else."""
        got = self.horton(*words, "--json", **how)
        self.assertEqual((got.returncode, got.stderr), (0, ""), got)
        self.assertEqual(got.stdout.count("\n"), 1, got.stdout[:500])
        rows = json.loads(got.stdout)
        self.assertIsInstance(rows, list)
        return rows
