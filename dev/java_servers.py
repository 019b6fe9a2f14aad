"""The shared parts of the Java servers that dev/ starts: their jars, ports and processes."""
import contextlib
import fcntl
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
JAVA = ["openjdk-17-jre-headless", "maven"]
STOP_SECONDS = 20


def fail(message):
    print(f"dev/{pathlib.Path(sys.argv[0]).name}: {message}", file=sys.stderr)
    sys.exit(1)


@contextlib.contextmanager
def locked(path):
    """Holds a lock file: other processes wait until the block ends. Then the file is deleted."""
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        with open(path, "w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if not path.exists() or not path.samefile(f"/proc/self/fd/{file.fileno()}"):
                continue  # the previous holder deleted this file
            try:
                yield
            finally:
                path.unlink()
            return


def install_java():
    if shutil.which("java") and shutil.which("mvn"):
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        fail("Java 17 and Maven are needed. As root, run:\n"
             f"  apt-get update && apt-get install -y --no-install-recommends {' '.join(JAVA)}")
    print(f"Installing {' '.join(JAVA)}", file=sys.stderr)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", *JAVA]):
        run = subprocess.run(["apt-get", *command], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                             text=True)
        if run.returncode != 0:
            fail("installing failed:\n" + "\n".join(run.stdout.splitlines()[-20:]))


def fetch_jars(what, release, folder, pom):
    """Returns the folder with the release's jars, which `pom` names. The folder is complete, or does not exist."""
    jars = folder / release
    with locked(folder / "lock"):
        install_java()
        if jars.exists():
            return jars
        print(f"Fetching {what} {release} from Maven Central", file=sys.stderr)
        making = folder / f"{release}.making"
        shutil.rmtree(making, ignore_errors=True)
        making.mkdir(parents=True)
        (folder / "pom.xml").write_text(pom)
        run = subprocess.run(["mvn", "-q", "-B", "-f", folder / "pom.xml", "dependency:copy-dependencies",
                              f"-DoutputDirectory={making}"], capture_output=True, text=True)
        if run.returncode != 0:
            fail(f"Maven cannot fetch {what} {release}:\n" + "\n".join((run.stdout + run.stderr).splitlines()[-20:]))
        making.rename(jars)
        return jars


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def start_of(pid):
    """The process's start time in ticks since the system's start; None if it has ended."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if fields[0] == "Z" else fields[19]
    except OSError:
        return None


class Process:
    """A process that outlives ours; its folder has its process id (pid) and its output (log)."""

    def __init__(self, folder):
        self.folder = folder
        self.log = folder / "log"

    def pid(self):
        """None unless it runs. The start time distinguishes it from another process with a reused process id."""
        try:
            pid, started = (self.folder / "pid").read_text().split()
            return int(pid) if start_of(pid) == started else None
        except (OSError, ValueError):
            return None

    def start(self, command):
        with open(self.log, "ab") as log:
            process = subprocess.Popen([*map(str, command)], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                       start_new_session=True)
        (self.folder / "pid").write_text(f"{process.pid} {start_of(process.pid)}")

    def last_words(self):
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-10:])

    def end(self, number):
        """Sends the signal and waits until the process has ended."""
        if (pid := self.pid()) is None:
            return
        os.kill(pid, number)
        deadline = time.monotonic() + STOP_SECONDS
        while self.pid() is not None:
            if time.monotonic() > deadline:
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.05)
