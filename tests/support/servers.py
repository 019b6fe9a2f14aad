"""Servers that dev/ starts, for as long as a test runs."""
import contextlib
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


class Server:
    """Runs dev/kafka or dev/mongo with a folder of its own."""

    def __init__(self, name, folder):
        self.words = [ROOT / "dev" / name]
        self.folder = ["--dir", folder]

    def run(self, command, *words):
        return subprocess.run([*self.words, command, *words, *self.folder], check=True, stdout=subprocess.PIPE,
                              text=True).stdout.strip()


@contextlib.contextmanager
def running(name, folder, *options):
    """Yields the server, and what it prints about its address."""
    server = Server(name, folder)
    server.run("stop")  # the rest of a run that was killed
    try:
        yield server, server.run("start", *options)
    finally:
        server.run("stop")
