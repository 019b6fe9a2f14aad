"""A worker as its surroundings see it: probes, the service manager, log lines as JSON, statsd, `doctor`, and the files
below ops/."""
import configparser
import json
import os
import re
import signal
import socket
import subprocess
import time
import unittest
import urllib.error
import urllib.request

import yaml

from support import BIN, ROOT, Scene, run, wait_for

SHOP = BIN.parent / "tests/page_app"
OPS = ROOT / "ops"


def get(url):
    try:
        with urllib.request.urlopen(url, timeout=30) as reply:
            return reply.status, json.loads(reply.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


class OperationScene(Scene):
    def setUp(self):
        self.place = self.folder / self.id().rsplit(".", 1)[1]
        self.place.mkdir()

    def worker(self, *options, env=None, ready=True):
        worker = self.start(SHOP, "worker", "-l", "info", "--web-port", "0", *options, folder=self.place, env=env,
                            name="shop")
        worker.url = worker.wait_for(r"Web pages at (http://127\.0\.0\.1:\d+)/").group(1)
        if ready:
            worker.wait_for(r"Worker ready")
        return worker

    def shop(self, *words, code=0, env=None):
        got = run(SHOP, *words, folder=self.place, env=env)
        self.assertEqual(got.returncode, code, got)
        return got.stdout

    def send(self, **order):
        parcel = {"customer": "ann", "item": "atlas", "price": 1, **order}
        self.shop("send", "parcels", json.dumps(parcel), "--key", "ann")


class Probes(OperationScene):
    def test_a_worker_that_runs_is_live_started_and_ready(self):
        worker = self.worker()
        for probe in ("live", "startup"):
            self.assertEqual(get(f"{worker.url}/{probe}"), (200, {"ok": True, "reasons": []}))
        wait_for(lambda: get(f"{worker.url}/ready") == (200, {"ok": True, "reasons": []}),
                 lambda: get(f"{worker.url}/ready"))

    def test_readiness_shows_a_stop_before_it_begins(self):
        worker = self.worker("--set", "web_drain_delay=60s")
        wait_for(lambda: get(f"{worker.url}/ready")[0] == 200, "it is ready")
        worker.signal(signal.SIGTERM)
        wait_for(lambda: get(f"{worker.url}/ready") == (503, {"ok": False, "reasons": ["the worker is stopping"]}),
                 lambda: get(f"{worker.url}/ready"))
        self.assertEqual(get(f"{worker.url}/live")[0], 200)
        self.send()  # and goes on with its work
        lag = lambda: [row["lag"] for row in json.loads(self.shop("lag", "--json")) if row["topic"] == "parcels"]
        wait_for(lambda: lag() == [0], "the parcel is packed while the worker stops")
        worker.signal(signal.SIGTERM)
        self.assertNotEqual(worker.wait(), 0, "a second signal ends it at once")

    def test_a_stop_ends_after_the_delay(self):
        worker = self.worker("--set", "web_drain_delay=300ms")
        begun = time.monotonic()
        worker.signal(signal.SIGTERM)
        self.assertEqual(worker.wait(), 0)
        self.assertGreater(time.monotonic() - begun, 0.3)

    def test_a_worker_without_its_log_says_why_it_is_not_ready(self):
        worker = self.worker("--log", "kafka://127.0.0.1:9", ready=False)
        self.assertEqual(get(f"{worker.url}/startup"),
                         (503, {"ok": False, "reasons": ["the worker has not started yet"]}))
        self.assertEqual(get(f"{worker.url}/ready")[0], 503)
        self.assertEqual(get(f"{worker.url}/live")[0], 200)


class ServiceManager(OperationScene):
    """What systemd would hear (sd_notify(3))."""

    def listen(self, name=None):
        manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(manager.close)
        manager.bind(name or str(self.place / "notify"))
        manager.settimeout(60)
        return manager

    def test_hears_of_the_start_the_watchdog_and_the_stop(self):
        manager = self.listen()
        worker = self.worker(env={"NOTIFY_SOCKET": str(self.place / "notify"), "WATCHDOG_USEC": "300000"})
        self.assertRegex(manager.recv(4096).decode(), r"^READY=1\nSTATUS=.+$")
        for _ in range(3):
            self.assertEqual(manager.recv(4096), b"WATCHDOG=1")
        worker.signal(signal.SIGTERM)
        while (heard := manager.recv(4096).decode()) == "WATCHDOG=1":
            pass
        self.assertRegex(heard, r"^STOPPING=1\nSTATUS=.+$")
        self.assertEqual(worker.wait(), 0)

    def test_may_have_an_abstract_socket(self):
        name = f"mephisto-test-{os.getpid()}"
        manager = self.listen("\0" + name)
        self.worker(env={"NOTIFY_SOCKET": "@" + name})
        self.assertTrue(manager.recv(4096).startswith(b"READY=1"))

    def test_a_watchdog_of_another_process_is_not_ours(self):
        manager = self.listen()
        worker = self.worker(env={"NOTIFY_SOCKET": str(self.place / "notify"), "WATCHDOG_USEC": "100000",
                                  "WATCHDOG_PID": "1"})
        self.assertTrue(manager.recv(4096).startswith(b"READY=1"))
        worker.signal(signal.SIGTERM)
        self.assertTrue(manager.recv(4096).startswith(b"STOPPING=1"))

    def test_its_absence_does_no_harm(self):
        worker = self.worker(env={"NOTIFY_SOCKET": str(self.place / "nobody")})
        worker.wait_for("Cannot tell the service manager")
        self.assertEqual(get(f"{worker.url}/live")[0], 200)


class LogLines(OperationScene):
    def test_are_json_and_name_the_record(self):
        worker = self.worker("--set", "log_format=json")
        self.shop("send", "orders", json.dumps({"customer": "ann", "item": "bad\natlas", "price": -1}), "--key", "ann",
                  "--partition", "2")
        worker.wait_for("bad")
        text = worker.stderr
        lines = [json.loads(line) for line in text[text.index("{"):].splitlines()]  # after the table of the start
        failed = [line for line in lines if "bad" in line["message"]][0]
        self.assertEqual({name: failed[name] for name in ("level", "task", "topic", "partition", "offset")},
                         {"level": "error", "task": "check_orders", "topic": "orders", "partition": 2, "offset": 0})
        self.assertRegex(failed["time"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z$")
        self.assertIn("mephisto.", failed["logger"])


class Statsd(OperationScene):
    def lines(self, server, wanted):
        """Those of datagrams, until one matches."""
        all_lines = []
        deadline = time.monotonic() + 60
        while not any(re.match(wanted, line) for line in all_lines):
            self.assertLess(time.monotonic(), deadline, f"{wanted} in {all_lines}")
            datagram = server.recv(65536)
            self.assertLessEqual(len(datagram), 1432)
            all_lines += datagram.decode().split("\n")
        return all_lines

    def server(self):
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(server.close)
        server.bind(("127.0.0.1", 0))
        server.settimeout(60)
        return server

    def test_gets_lines_that_it_understands(self):
        for tags, packed in (("none", r"bookshop\.events\.pack\.parcels\.acked:\d\|c$"),
                             ("datadog", r"bookshop\.events:\d\|c\|#agent:pack,topic:parcels,outcome:acked$")):
            with self.subTest(tags):
                server = self.server()
                worker = self.start(SHOP, "worker", "-l", "info", "--without-web", "--set",
                                    f"statsd=127.0.0.1:{server.getsockname()[1]}", "--set", f"statsd_tags={tags}",
                                    "--set", "statsd_interval=200ms", folder=self.place, name="shop")
                worker.wait_for("Worker ready")
                self.send()
                self.send()
                lines = self.lines(server, packed)
                for line in lines:
                    self.assertRegex(line, r"^bookshop\.[\w.-]+:\d+(\.\d+)?(e[+-]?\d+)?\|(c|g|ms(\|@\d[\d.e-]*)?)"
                                           r"(\|#[\w:,./{}-]+)?$")
                worker.signal(signal.SIGTERM)
                worker.wait()

    def test_what_it_does_not_get_is_dropped_and_counted(self):
        server = self.server()
        port = server.getsockname()[1]
        server.close()
        worker = self.worker("--set", f"statsd=127.0.0.1:{port}", "--set", "statsd_interval=100ms")
        worker.wait_for(r"Metrics cannot be sent to statsd at 127\.0\.0\.1:\d+: Connection refused; they are dropped")

        def dropped():
            with urllib.request.urlopen(worker.url + "/metrics", timeout=30) as reply:
                return float(re.search(r"^mephisto_statsd_dropped_total (\S+)$", reply.read().decode(), re.M)[1])
        wait_for(lambda: dropped() > 0, "drops are counted")

    def test_a_wrong_place_is_refused(self):
        got = run(SHOP, "worker", "--set", "statsd=localhost", folder=self.place)
        self.assertEqual(got.returncode, 2)
        self.assertIn('statsd: "localhost" is not HOST:PORT', got.stderr)


class Doctor(OperationScene):
    def findings(self, *options, code=0, env=None):
        rows = json.loads(self.shop("doctor", "--json", *options, code=code, env=env))
        for row in rows:
            self.assertEqual(set(row), {"check", "state", "found", "remedy"})
            self.assertIn(row["state"], ("ok", "warning", "failed"))
            self.assertEqual(row["remedy"] == "", row["state"] == "ok", row)
        self.assertEqual(any(row["state"] == "failed" for row in rows), code == 1, rows)
        return {row["check"]: row for row in rows}

    def test_finds_nothing_before_the_first_start_and_beside_a_worker(self):
        before = self.findings()
        self.assertIn("which a worker creates", before["log"]["found"])
        self.worker()
        self.send()
        beside = self.findings()
        self.assertEqual(set(beside), {"versions", "folder", "disk", "files", "clock", "log", "topics",
                                       "future records", "group", "transactions", "dead letters", "workers"})
        wrong = {name for name, row in beside.items() if row["state"] != "ok"}
        self.assertLessEqual(wrong, {"clock", "files", "disk"})  # which are this machine's
        self.assertRegex(self.shop("doctor"), r"(?m)^.*topics .*ok .*$")

    def test_tells_dead_letters(self):
        self.worker()
        self.shop("send", "orders", json.dumps({"customer": "ann", "item": "atlas", "price": -1}), "--key", "ann")
        row = wait_for(lambda: (row := self.findings()["dead letters"])["state"] == "warning" and row, "the letter")
        self.assertEqual((row["found"], row["remedy"]), ("agent check_orders has 1", "bookshop dlq list check_orders"))

    def test_a_log_that_cannot_be_reached_is_a_failure_with_a_remedy(self):
        row = self.findings("--log", "kafka://127.0.0.1:9", code=1)["log"]
        self.assertEqual(row["state"], "failed")
        self.assertIn("127.0.0.1:9", row["found"])
        self.assertIn("kafka.properties", row["remedy"])

    def test_a_folder_that_cannot_be_written_is_a_failure(self):
        (self.place / "taken").write_text("a file")
        row = self.findings("--datadir", "taken/data", code=1)["folder"]
        self.assertEqual(row["state"], "failed")
        self.assertIn("taken", row["found"])

    def test_certificates_that_are_none_or_have_expired_are_failures(self):
        def made(name, days):
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                            "-keyout", self.place / "key", "-out", self.place / name, "-subj", "/CN=test", "-days",
                            str(days)], check=True, capture_output=True)
        made("soon.pem", 2)
        made("later.pem", 200)
        (self.place / "none.pem").write_text("nothing")
        for name, state, found in (("later.pem", "ok", "is valid until"), ("soon.pem", "warning", "expires at"),
                                   ("none.pem", "failed", "there is no certificate in"),
                                   ("missing.pem", "failed", "No such file")):
            with self.subTest(name):
                rows = self.findings("--set", f"kafka.properties.ssl.ca.location={name}", code=int(state == "failed"))
                self.assertEqual(rows["TLS"]["state"], state)
                self.assertIn(found, rows["TLS"]["found"])

    def test_a_topic_that_is_not_there_is_a_failure_if_workers_must_not_make_it(self):
        self.shop("send", "visits", json.dumps("ann"))  # there is a log
        self.assertEqual(self.findings()["topics"]["state"], "ok")
        row = self.findings("--set", "topic_allow_declare=false", code=1)["topics"]
        self.assertRegex(row["found"], r"^topic \w+ does not exist$")
        self.assertIn("topic_allow_declare", row["remedy"])


class Ops(Scene):
    """As far as the files can be checked without systemd and Kubernetes."""

    def settings(self):
        return {row["setting"]: row for row in self.rows("config")}

    def check_environment(self, names):
        known = self.settings()
        for name in names:
            setting = name.removeprefix("HORTON_").removesuffix("_FILE").lower()
            self.assertTrue({setting, setting.replace("_", ".", 1)} & (set(known) | {"kafka.servers"}), name)

    def test_the_unit_fits_the_worker(self):
        unit = configparser.ConfigParser(strict=False, interpolation=None)
        unit.optionxform = str
        text = (OPS / "systemd/horton.service").read_text()
        unit.read_string(text)
        service = unit["Service"]
        self.assertEqual((service["Type"], service["RestartPreventExitStatus"]), ("notify", "2"))
        drain = int(self.settings()["drain_timeout"]["value"].removesuffix("s"))
        self.assertGreater(int(service["TimeoutStopSec"]), drain + 4)
        self.assertGreaterEqual(int(service["WatchdogSec"]), 30)
        self.check_environment(re.findall(r"^Environment=(\w+)=", text, re.MULTILINE))
        words = service["ExecStart"].split()[1:]
        self.assertEqual(self.horton(words[0], "--help").returncode, 0)

    def test_the_manifest_fits_the_worker(self):
        documents = list(yaml.safe_load_all((OPS / "kubernetes/horton.yaml").read_text()))
        self.assertEqual([one["kind"] for one in documents], ["StatefulSet", "Service", "Service"])
        pod = documents[0]["spec"]["template"]
        worker = pod["spec"]["containers"][0]
        known = self.settings()
        port = worker["ports"][0]["containerPort"]
        self.assertEqual(str(port), known["web_port"]["value"])
        environment = {one["name"]: one.get("value") for one in worker["env"]}
        self.check_environment(environment)
        given = {name: value for name, value in environment.items() if value and not name.endswith("_FILE")}
        self.assertEqual(self.horton("config", env=given).returncode, 0)
        delay, drain = (int(text.removesuffix("s")) for text in
                        (environment["HORTON_WEB_DRAIN_DELAY"], known["drain_timeout"]["value"]))
        self.assertGreater(pod["spec"]["terminationGracePeriodSeconds"], delay + drain + 4)
        paths = {name: worker[name]["httpGet"]["path"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}
        self.assertEqual(paths, {"startupProbe": "/startup", "livenessProbe": "/live", "readinessProbe": "/ready"})
        for service in documents[1:]:
            self.assertEqual(service["spec"]["selector"], pod["metadata"]["labels"])
            self.assertEqual(service["spec"]["ports"][0]["port"], port)
        self.assertEqual(self.horton(*worker["args"], "--help").returncode, 0)


if __name__ == "__main__":
    unittest.main()
