"""Horton with its documents on a server of MongoDB's protocol: the same documents as in SQLite, users, TLS, outages, and what is wrong with it."""
import pathlib
import re
import signal
import socket
import subprocess
import threading
import time
import unittest

from bad_input import FAILED, BadInput, add_tests, failure, usage
from collection_test import Service, overview
from mongo_guard import Guard
from support import ROOT, Scene, wait_for

PASSWORD = "not-to-be-shown-either"
OWN = {"_id", "listed_at", "overview_checked_at", "overview_retries"}  # an id, and times of this run


def server(command, place, *options):
    return subprocess.run([ROOT / "dev/mongo", command, "--dir", place, *options], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


class OnMongo(Scene):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server = cls.folder / "server"
        cls.url = server("start", cls.server)
        cls.addClassCleanup(server, "stop", cls.server)

    def setUp(self):
        self.name = self.id().rsplit(".", 1)[1]
        self.place = self.folder / self.name
        self.place.mkdir()

    def port(self):
        return int(re.search(r":(\d+)/", self.url).group(1))

    def configure(self, market, mongo):
        self.config(market, "".join(f"{line}\n" for line in ["mongo:", *mongo]), folder=self.place)

    def serve(self, count, answer):
        service = Service([(f"S{number:03}", "X") for number in range(count)], answer)
        self.addCleanup(service.close)
        return service

    def here(self, *words, **how):
        return self.horton(*words, folder=self.place, **how)

    def worker(self):
        worker = self.start_worker(folder=self.place)
        self.addCleanup(worker.end)
        return worker

    def collect_all(self, limit=60):
        self.assertEqual(self.here("start-collect-securities").returncode, 0)
        self.wait_for_all(limit)

    def wait_for_all(self, limit=60):
        got = self.here("progress", "--follow", "--timeout", limit, limit=limit + 10)
        self.assertEqual(got.returncode, 0, got.stdout + got.stderr)

    def documents(self):
        rows = self.rows("securities", folder=self.place)
        return {(row["symbol"], row["exchange"]): {name: value for name, value in row.items() if name not in OWN} for row in rows}, rows


class TheSameDocuments(OnMongo):
    def test_as_in_sqlite(self):
        market = self.start_market()
        found = {}
        for kind, mongo in {"sqlite": ["  database: horton"], "mongodb": ["  host: 127.0.0.1", f"  port: {self.port()}", "  database: same"]}.items():
            self.place = self.folder / kind
            self.place.mkdir()
            self.configure(market, mongo)
            worker = self.worker()
            self.collect_all()
            found[kind] = self.documents()
            self.assertEqual(self.rows("dlq", "list", folder=self.place), [])
            worker.signal(signal.SIGTERM)
            self.assertEqual(worker.wait(15), 0, worker.stderr)
        (here, here_rows), (there, there_rows) = found["sqlite"], found["mongodb"]
        self.assertEqual(len(there), 237)
        self.assertEqual(there, here)
        for a, b in zip(here_rows, there_rows):
            self.assertEqual({name: type(value) for name, value in a.items()}, {name: type(value) for name, value in b.items()})
        self.assertFalse((self.folder / "mongodb/horton-data/documents.db").exists())


class Users(OnMongo):
    def setUp(self):
        super().setUp()
        self.guard = Guard(self.port(), "admin", PASSWORD)
        self.addCleanup(self.guard.close)

    def mongo(self, password):
        return ["  host: localhost", f"  port: {self.guard.port}", "  database: users", "  username: admin", f"  password: {password}"]

    def check_let_in(self, **how):
        self.assertIn("A is not listed yet", self.here("collect", "--symbol", "A", **how).stderr)

    def test_a_user_with_the_password_is_let_in(self):
        service = self.serve(5, lambda symbol, call: overview(symbol))
        self.configure(service.url, self.mongo(PASSWORD))
        worker = self.worker()
        self.collect_all()
        self.assertEqual(len(self.documents()[0]), 5)
        self.assertEqual(set(self.guard.mechanisms), {"SCRAM-SHA-256"})
        self.assertNotIn(PASSWORD, worker.stderr + worker.stdout + self.here("config").stdout)

    def test_a_password_of_the_environment_wins(self):
        self.configure("http://127.0.0.1:1/", self.mongo("another-one"))
        self.check_let_in(env={"HORTON_MONGO_PASSWORD": PASSWORD})

    def test_a_password_in_the_url(self):
        self.configure("http://127.0.0.1:1/", [f"  url: mongodb://admin:{PASSWORD}@127.0.0.1:{self.guard.port}/?authSource=admin"])
        self.check_let_in()
        self.assertNotIn(PASSWORD, self.here("config").stdout)


class Tls(OnMongo):
    @classmethod
    def setUpClass(cls):
        super(OnMongo, cls).setUpClass()
        cls.server = cls.folder / "server"
        cls.url = server("start", cls.server, "--tls")
        cls.addClassCleanup(server, "stop", cls.server)

    def test_the_whole_job(self):
        service = self.serve(5, lambda symbol, call: overview(symbol))
        self.configure(service.url, [f"  url: {self.url}"])
        self.worker()
        self.collect_all()
        self.assertEqual(len(self.documents()[0]), 5)

    def test_a_certificate_that_nobody_vouches_for_is_refused(self):
        self.configure("http://127.0.0.1:1/", [f"  url: {self.url.split('&')[0]}"])
        got = self.here("collect", "--symbol", "A", limit=10)
        self.assertEqual(got.returncode, FAILED)
        self.assertIn("certificate", got.stderr)


class Away(OnMongo):
    """The server goes and comes back. What Horton has asked of the market it does not ask again."""

    def serve_slowly(self, count):
        return self.serve(count, lambda symbol, call: time.sleep(0.05) or overview(symbol))

    def setUp(self):
        super().setUp()
        server("start", self.server)
        self.service = self.serve_slowly(150)
        self.configure(self.service.url, [f"  url: {self.url}{self.name[-30:]}"])

    def take_server_away(self, worker):
        self.assertEqual(self.here("start-collect-securities").returncode, 0)
        wait_for(lambda: len(self.service.asked) > 20, "a good start")
        server("end", self.server)
        worker.wait_for(r"WARNING .* MongoDB at 127\.0\.0\.1:\d+ .*; events wait for it$")

    def check_all_came(self):
        self.wait_for_all()
        self.assertEqual(len(self.documents()[0]), 150)
        self.assertEqual(self.rows("dlq", "list", folder=self.place), [])

    def test_events_wait_and_go_on(self):
        worker = self.worker()
        self.take_server_away(worker)
        wait_for(lambda: self.here("progress", limit=10).returncode == FAILED, "a command that says so")
        asked = len(self.service.asked)
        self.assertLess(asked, 150)
        server("start", self.server)
        worker.wait_for(r"INFO .* MongoDB at .* is back$")
        self.check_all_came()
        self.assertEqual(sorted(self.service.asked), sorted(f"S{number:03}" for number in range(150)), "each once")
        self.assertEqual(len(re.findall("events wait for it", worker.stderr)), 1, worker.stderr)
        peak = int(re.search(r"VmHWM:\s+(\d+)", pathlib.Path(f"/proc/{worker.pid}/status").read_text()).group(1))
        self.assertLess(peak, 150_000, "KiB")

    def test_a_worker_stops_meanwhile_and_another_goes_on(self):
        worker = self.worker()
        self.take_server_away(worker)
        worker.signal(signal.SIGTERM)
        self.assertEqual(worker.wait(15), 0, worker.stderr)
        server("start", self.server)
        self.worker()
        self.check_all_came()


class Garbage:
    """A server that answers everything with what is no message of MongoDB's."""

    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            with connection:
                try:
                    connection.recv(1 << 16)
                    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                except OSError:
                    pass


def mongo(*lines):
    return "service:\n  apikey: k\nmongo:\n" + "".join(f"  {line}\n" for line in lines)


USER = ["username: admin", f"password: {PASSWORD}"]
URL = f"mongodb://admin:{PASSWORD}@"
BAD = [
    failure("nobody at the port", "collect --symbol A", "127.0.0.1:1", "cannot be reached", "mongo.port", config=mongo("host: 127.0.0.1", "port: 1", *USER), limit=10),
    failure("nobody at the port, a worker", "worker -q -l error", "127.0.0.1:1", "cannot be reached", "mongo.port", config=mongo("host: 127.0.0.1", "port: 1", *USER), limit=10),
    failure("a host that is not there", "collect --symbol A", "no-such-host.invalid", "resolve", "mongo.host", config=mongo("host: no-such-host.invalid", *USER), limit=10),
    failure("a user without a password", "collect --symbol A", "mongo.username", "HORTON_MONGO_PASSWORD", config=mongo("host: 127.0.0.1", "username: admin")),
    failure("SQLite and MongoDB at once", "collect --symbol A", "documents", "mongo.host", config="documents: x.db\n" + mongo("host: 127.0.0.1")),
    usage("a host that is none", "collect --symbol A", "config.yml:4", "mongo.host", '"a b"', config=mongo("host: a b")),
    usage("a URL for a host", "collect --symbol A", "mongo.host", "mongo.url", config=mongo("host: mongodb://localhost")),
    usage("a port that is none", "collect --symbol A", "mongo.port", '"99999"', "65535", config=mongo("host: localhost", "port: 99999")),
    usage("a name of a database that is none", "collect --symbol A", "mongo.database", '"a/b"', config=mongo("host: localhost", "database: a/b")),
    usage("a URL of nonsense", "collect --symbol A", "mongo.url", "mongodb://HOST:PORT", config=mongo("url: nonsense")),
    usage("a URL of another scheme", "collect --symbol A", "mongo.url", "mongodb://", config=mongo("url: http://localhost/")),
    usage("a URL without a host", "collect --symbol A", "mongo.url", "host", config=mongo(f"url: {URL}")),
    usage("a URL with an @ in the password", "collect --symbol A", "mongo.url", "%40", config=mongo(f"url: {URL}x@localhost/")),
    usage("a URL with a misspelt option", "collect --symbol A", "mongo.url", "tsl", config=mongo(f"url: {URL}localhost/?tsl=true")),
    usage("a URL with a bad number", "collect --symbol A", "mongo.url", "connecttimeoutms", config=mongo(f"url: {URL}localhost/?connectTimeoutMS=soon")),
    usage("environment: URL", "collect --symbol A", "HORTON_MONGO_URL", "mongodb://", env={"HORTON_MONGO_URL": f"mongo://{PASSWORD}@x"}),
]


class BadMongo(BadInput):
    def check_message(self, got, code, says):
        super().check_message(got, code, says)
        self.assertNotIn(PASSWORD, got.stderr)

    def test_garbage(self):
        garbage = Garbage()
        self.addCleanup(garbage.socket.close)
        for name in ("collect --symbol A", "worker -q -l error"):
            with self.subTest(name):
                self.try_case(failure(f"garbage {name}", name, f"127.0.0.1:{garbage.port}", "cannot be reached", config=mongo("host: 127.0.0.1", f"port: {garbage.port}", *USER), limit=10))

    def test_wrong_password(self):
        place = self.folder / "server"
        port = int(re.search(r":(\d+)/", server("start", place)).group(1))
        self.addCleanup(server, "stop", place)
        guard = Guard(port, "admin", "another-one")
        self.addCleanup(guard.close)
        for name in ("collect --symbol A", "worker -q -l error"):
            with self.subTest(name):
                self.try_case(failure(f"password {name}", name, "refuses us", "Authentication failed", "mongo.password", config=mongo("host: 127.0.0.1", f"port: {guard.port}", *USER), limit=10))
        with self.subTest("no user"):
            self.try_case(failure("no user", "collect --symbol A", "refuses us", "requires authentication", "mongo.username", config=mongo("host: 127.0.0.1", f"port: {guard.port}"), limit=10))


add_tests(BadMongo, BAD)


if __name__ == "__main__":
    unittest.main()
