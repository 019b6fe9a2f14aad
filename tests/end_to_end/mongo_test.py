"""Horton with its documents on a server with MongoDB's protocol: the same documents as in SQLite, users, TLS,
outages."""
import os
import pathlib
import re
import signal
import time
import unittest

from bad_input import FAILED
from collection_test import Service, overview
from mongo_guard import PASSWORD, Guard, WithServer, server
from support import Scene, wait_for

# an id, and times of this run
OWN = {"_id", "listed_at", "overview_checked_at", "overview_sent_at", "overview_retries"}


class OnMongo(WithServer, Scene):
    def setUp(self):
        self.name = self.id().rsplit(".", 1)[1]
        self.place = self.folder / self.name
        self.place.mkdir()

    def configure(self, market, mongo):
        self.config(market, "".join(f"{line}\n" for line in ["mongo:", *mongo]), folder=self.place)

    def serve(self, count, answer):
        service = Service([(f"S{number:03}", "X") for number in range(count)], answer)
        self.addCleanup(service.close)
        return service

    def here(self, *words, **how):
        return self.horton(*words, folder=self.place, **how)

    def worker(self, env=None):
        worker = self.start_worker(folder=self.place, env=env)
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
        return {(row["symbol"], row["exchange"]): {name: value for name, value in row.items() if name not in OWN}
                for row in rows}, rows


class TheSameDocuments(OnMongo):
    def test_as_in_sqlite(self):
        market = self.start_market()
        found = {}
        for kind, mongo in {"sqlite": ["  database: horton"],
                            "mongodb": ["  host: 127.0.0.1", f"  port: {self.port()}", "  database: same"]}.items():
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
            self.assertEqual({name: type(value) for name, value in a.items()},
                             {name: type(value) for name, value in b.items()})
        self.assertFalse((self.folder / "mongodb/horton-data/documents.db").exists())


class Users(OnMongo):
    def setUp(self):
        super().setUp()
        self.guard = Guard(self.port(), "admin", PASSWORD)
        self.addCleanup(self.guard.close)

    def mongo(self, password):
        return ["  host: localhost", f"  port: {self.guard.port}", "  database: users", "  username: admin",
                f"  password: {password}"]

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
        self.configure("http://127.0.0.1:1/",
                       [f"  url: mongodb://admin:{PASSWORD}@127.0.0.1:{self.guard.port}/?authSource=admin"])
        self.check_let_in()
        self.assertNotIn(PASSWORD, self.here("config").stdout)


class Tls(OnMongo):
    server_options = ("--tls",)

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
    """The server stops and comes back. Horton does not repeat the requests that the market has answered."""

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

    def test_a_server_that_hangs_is_waited_for(self):
        worker = self.worker(env={"HORTON_MONGO_DEADLINE": "500ms"})
        self.assertEqual(self.here("start-collect-securities").returncode, 0)
        wait_for(lambda: len(self.service.asked) > 20, "a good start")
        pid = int((self.server / "pid").read_text().split()[0])
        self.addCleanup(os.kill, pid, signal.SIGCONT)
        os.kill(pid, signal.SIGSTOP)
        worker.wait_for(r"WARNING .* MongoDB at 127\.0\.0\.1:\d+ .*; events wait for it$")
        os.kill(pid, signal.SIGCONT)
        self.check_all_came()
        self.assertEqual(sorted(self.service.asked), sorted(f"S{number:03}" for number in range(150)), "each once")

    def test_a_worker_stops_meanwhile_and_another_goes_on(self):
        worker = self.worker()
        self.take_server_away(worker)
        worker.signal(signal.SIGTERM)
        self.assertEqual(worker.wait(15), 0, worker.stderr)
        server("start", self.server)
        self.worker()
        self.check_all_came()


if __name__ == "__main__":
    unittest.main()
