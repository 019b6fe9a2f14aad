"""The web pages of a real worker: the operator's page, the commands as JSON, probes and metrics, and at least eighty
bad requests, each with one clear answer, which disturb nobody."""
import json
import re
import socket
import shutil
import ssl
import subprocess
import unittest
import urllib.error
import urllib.request

from support import HORTON, Scene, run, wait_for


class Web(Scene):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        url = cls.start_market()
        cls.config(url)
        cls.worker = cls.start(HORTON, "worker", "-l", "info", "--web-port", "0", name="worker")
        cls.worker.wait_for(r" - Worker ready$")
        cls.base = cls.worker.wait_for(r"Web pages at (http://127\.0\.0\.1:\d+)/").group(1)
        cls.port = int(cls.base.rpartition(":")[2])

    def get(self, path, headers=None, method="GET", body=None):
        request = urllib.request.Request(self.base + path, headers=headers or {}, method=method, data=body)
        try:
            with urllib.request.urlopen(request, timeout=20) as reply:
                return reply.status, dict(reply.headers), reply.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, dict(error.headers), error.read()

    def json(self, path):
        status, _, body = self.get(path)
        self.assertEqual(status, 200, body)
        return json.loads(body)

    def raw(self, text, end=True):
        """Sends bytes as they are and returns the reply's status; None if the connection is closed without one."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as connection:
            connection.sendall(text)
            if end:
                connection.shutdown(socket.SHUT_WR)
            got = b""
            while b"\r\n" not in got:
                part = connection.recv(4096)
                if not part:
                    return None
                got += part
        return int(got.split()[1])

    def test_the_page_is_there_and_needs_nothing_from_outside(self):
        status, headers, body = self.get("/")
        self.assertEqual(status, 200)
        self.assertIn("text/html", headers["Content-Type"])
        self.assertIn("default-src 'self'", headers["Content-Security-Policy"])
        files = re.findall(r'(?:src|href)="(/page/[^"]+)"', body.decode())
        self.assertGreaterEqual(len(files), 3)
        total = len(body)
        for file in [*files, "/page/parts.js"]:
            status, headers, text = self.get(file, {"Accept-Encoding": "gzip"})
            self.assertEqual(status, 200, file)
            self.assertEqual(headers["Content-Encoding"], "gzip")
            total += len(text)
            self.assertEqual(self.get(file, {"If-None-Match": headers["ETag"]})[0], 304)
        self.assertLess(total, 150_000)

    def test_the_pages_show_what_the_commands_print(self):
        self.horton("send", "collect_security_overview", '{"symbol":"IBM","exchange":"NYSE"}')
        for command in ("topics", "agents", "models", "tables", "groups"):
            with self.subTest(command=command):
                printed = self.horton(command, "--json")
                self.assertEqual(self.json(f"/api/{command}"), json.loads(printed.stdout))
        rows = self.json("/api/topic?name=collect_security_overview")
        self.assertIn("IBM", [row["value"]["symbol"] for row in rows])
        lag = self.json("/api/lag")
        self.assertEqual({row["group"] for row in lag}, {"horton"})
        status = self.json("/api/status")
        self.assertEqual(status["app"], "horton")
        for one in status["accounts"]:
            self.assertEqual(one["consumed"], one["acked"] + one["in_flight"] + one["dead_lettered"] + one["skipped"])

    def test_a_record_can_be_sent(self):
        body = json.dumps({"entity": "collect_security_overview", "key": "k", "value": '{"symbol":"SENT","exchange":"X"}'})
        status, _, text = self.get("/api/send", {"Content-Type": "application/json"}, "POST", body.encode())
        self.assertEqual(status, 200, text)
        rows = self.json("/api/topic?name=collect_security_overview&limit=0")
        self.assertIn("SENT", [row["value"]["symbol"] for row in rows])

    def test_crontabs_are_shown_and_run(self):
        def cron(**options):
            status, _, text = self.get("/api/cron", {"Content-Type": "application/json"}, "POST",
                                       json.dumps(options).encode())
            self.assertEqual(status, 200, text)
            return json.loads(text)
        printed = self.horton("cron", "list", "--json")
        self.assertEqual([row["name"] for row in cron(action="list")],
                         [row["name"] for row in json.loads(printed.stdout)])
        self.assertEqual(len(cron(action="next", what="3")), 3)
        cron(action="run-now", what="bars-tokyo")
        (slot,) = wait_for(lambda: cron(action="history", what="bars-tokyo"), "the run in the history")
        self.assertEqual((slot["outcome"], slot["manual"]), ("ok", True))

    def test_secrets_are_not_on_any_page(self):
        for path in ("/api/config", "/metrics", "/openapi.json", "/api/status"):
            self.assertNotIn(b"not-to-be-shown", self.get(path)[2], path)

    def test_probes_and_metrics(self):
        for probe in ("live", "startup", "ready"):
            self.assertEqual(self.json(f"/{probe}"), {"ok": True, "reasons": []})
        status, headers, text = self.get("/metrics")
        self.assertEqual(status, 200)
        self.assertEqual(headers["Content-Type"], "text/plain; version=0.0.4; charset=utf-8")
        if promtool := shutil.which("promtool"):
            checked = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, timeout=60)
            self.assertEqual(checked.returncode, 0, checked.stderr)
        samples = {}
        for line in text.decode().splitlines():
            if not line.startswith("#"):
                name, value = line.rsplit(" ", 1)
                self.assertNotIn(name, samples, "a sample is there once")
                samples[name] = float(value)
        self.assertEqual(samples["mephisto_worker_ready"], 1)
        for name, consumed in samples.items():
            if name.startswith("mephisto_records_consumed_total"):
                labels = name.split("{")[1].rstrip("}")
                done = sum(samples[f'mephisto_events_total{{{labels},outcome="{outcome}"}}']
                           for outcome in ("acked", "dead_lettered", "skipped"))
                self.assertEqual(consumed, done + samples[f"mephisto_events_in_flight{{{labels}}}"], name)

    def test_bad_requests(self):
        get = lambda path, more="": f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{more}\r\n".encode()
        post = lambda path, body, more="": (f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: "
                                            f"{len(body.encode())}\r\n{more}\r\n{body}").encode()
        cases = [
            # Paths.
            *((get(path), 404) for path in
              ("/nothing", "/api", "/api/", "/api/nothing", "/api/topics/x", "/page", "/page/", "/page/none.js",
               "/page/../index.html", "/page/%2e%2e/index.html", "/..", "/%2e%2e/%2e%2e/etc/passwd", "//", "//etc/passwd",
               "/index.html", "/metrics/x", "/live/x", "/%00", "/%ff", "/api%2Ftopics",
               "/API/topics", "/Metrics", "/api/why%20")),
            # Parameters.
            *((get(path), 400) for path in
              ("/api/topic", "/api/topic?name=", "/api/topic?name=none", "/api/topic?name=a%00b", "/api/topic?nam=x",
               "/api/topic?name=collect_security_overview&limit=x", "/api/topic?name=collect_security_overview&limit=-1",
               "/api/topic?name=collect_security_overview&limit=99999999999999999999",
               "/api/topic?name=collect_security_overview&partition=99", "/api/topic?name=collect_security_overview&from=never",
               "/api/topic?name=collect_security_overview&follow=true", "/api/topics?x=1", "/api/lag?group=none",
               "/api/lag?reset=x=earliest", "/api/table", "/api/table?name=none", "/api/why?place=none",
               "/api/why?place=x/y", "/api/groups?json=true", "/api/config?markdown=true")),
            # Verbs.
            *((f"{verb} /api/topics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n".encode(), 405) for verb in
              ("POST", "PUT", "DELETE", "PATCH", "FETCH", "get", "CONNECTED", "TRACE")),
            (get("/api/send"), 405), (get("/api/send/"), 405), (get("/api/dlq"), 405), (get("/%"), 400), (get("/%zz"), 400),
            (b"CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
            # Bodies.
            (post("/api/send", ""), 400), (post("/api/send", "{"), 400), (post("/api/send", "[]"), 400),
            (post("/api/send", "null"), 400), (post("/api/send", '"x"'), 400), (post("/api/send", '{"entity":7}'), 400),
            (post("/api/send", "{}"), 400), (post("/api/send", '{"entity":"none"}'), 400),
            (post("/api/send", '{"entity":"@none","value":"1"}'), 400),
            (post("/api/send", '{"entity":"collect_security_overview","partition":"99","value":"1"}'), 400),
            (post("/api/send", '{"entity":"collect_security_overview","repeat":"9"}'), 400),
            (post("/api/send", "[" * 5000), 400), (post("/api/send", '{"entity":"\\ud800"}'), 400),
            (post("/api/send", "x", "Content-Type: text/plain\r\n"), 415),
            (post("/api/send", "a=b", "Content-Type: application/x-www-form-urlencoded\r\n"), 415),
            (post("/api/send", "{}", "Origin: https://evil.example\r\n"), 403),
            (post("/api/dlq", '{"action":"explode"}'), 400), (post("/api/dlq", '{"action":"replay","number":"x"}'), 400),
            (post("/api/dlq", '{"action":"replay","all":"yes"}'), 400),
            (get("/api/cron"), 405), (post("/api/cron", '{"action":"explode"}'), 400),
            (post("/api/cron", '{"action":"run-now"}'), 400), (post("/api/cron", '{"action":"next","what":"x"}'), 400),
            # Names of this server.
            (b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421),
            (b"GET / HTTP/1.1\r\nHost: 127.0.0.1.evil.example\r\n\r\n", 421),
            (b"GET / HTTP/1.1\r\nHost: localhost.\r\n\r\n", 421),
            # Framing.
            (b"GET / HTTP/1.1\r\n\r\n", 400), (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
            (b"GET / HTTP/2.0\r\nHost: localhost\r\n\r\n", 505), (b"GET /\r\n\r\n", 400), (b"nonsense\r\n\r\n", 400),
            (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400), (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
            (b"GET / HTTP/1.1\r\nHost: localhost\r\nX" + b"x" * 70_000 + b": y\r\n\r\n", 431),
            (b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 431),
            (b"GET / HTTP/1.1\r\nHost: localhost\r\nBad Header: x\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nHost: localhost\r\nA: b\r\n c\r\n\r\n", 400),
            (b"GET /\xc3\xa9 HTTP/1.1\r\nHost: localhost\r\n\r\n", 400), (b"GET /a b HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
            (b"POST /api/send HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n", 400),
            (b"POST /api/send HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
            (b"POST /api/send HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
            (b"POST /api/send HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999\r\n\r\n", 413),
            (b"POST /api/send HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
            (b"POST /api/send HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip\r\n\r\n", 400),
            (b"POST /api/send HTTP/1.1\r\nHost: localhost\r\nExpect: magic\r\nContent-Length: 1\r\n\r\n", 417),
            # Halves: the client closes in the middle.
            (b"", None), (b"GET", None), (b"GET / HTTP/1.1\r\nHost: loc", None),
            (b"POST /api/send HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n{", None),
        ]
        self.assertGreaterEqual(len(cases), 80)
        wrong = []
        for text, expected in cases:
            got = self.raw(text)
            if got != expected:
                wrong.append(f"{text[:100]!r}: {got}, not {expected}")
        self.assertEqual(wrong, [])
        self.assertEqual(self.json("/ready"), {"ok": True, "reasons": []})
        self.assertIsNone(self.worker.child.poll(), "the worker lives")

    def certificate(self, folder, name, more=()):
        """A certificate for 127.0.0.1 that is its own authority, and its key."""
        files = folder / f"{name}.pem", folder / f"{name}.key"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", *(more or ["-nodes"]),
                        "-days", "30", "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1",
                        "-out", str(files[0]), "-keyout", str(files[1])], check=True, capture_output=True, timeout=60)
        return files

    def test_tls(self):
        folder = self.folder / "tls"
        folder.mkdir()
        self.config("http://127.0.0.1:9/", folder=folder)
        certificate, key = self.certificate(folder, "first")
        other, other_key = self.certificate(folder, "other")
        worker = self.start(HORTON, "worker", "-l", "info", "--web-port", "0", name="tls", folder=folder,
                            env={"HORTON_WEB_TLS_CERTIFICATE": str(certificate), "HORTON_WEB_TLS_KEY": str(key)})
        worker.wait_for(r" - Worker ready$")
        base = worker.wait_for(r"Web pages at (https://127\.0\.0\.1:\d+)/").group(1)
        port = int(base.rpartition(":")[2])

        def trusted(by):
            return ssl.create_default_context(cafile=str(by))

        def talk(text, by=certificate, most=None):
            """What a trusted server sends until it closes, which it says so that nothing can be missing."""
            context = trusted(by)
            context.maximum_version = most or ssl.TLSVersion.TLSv1_3
            with socket.create_connection(("127.0.0.1", port), timeout=20) as plain:
                with context.wrap_socket(plain, server_hostname="127.0.0.1", suppress_ragged_eofs=False) as secure:
                    secure.sendall(text)
                    got = b""
                    while part := secure.recv(65536):
                        got += part
                    return got

        live = b"GET /live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        with urllib.request.urlopen(base + "/live", context=trusted(certificate), timeout=20) as reply:
            self.assertEqual(json.loads(reply.read()), {"ok": True, "reasons": []})
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            self.assertTrue(talk(live, most=version).startswith(b"HTTP/1.1 200 "))
        # A large reply, over several writes.
        self.assertTrue(talk(b"GET /openapi.json HTTP/1.0\r\nHost: localhost\r\n\r\n").endswith(b"}"))
        with self.assertRaises(ssl.SSLCertVerificationError):
            talk(live, by=other)
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
        old.minimum_version = ssl.TLSVersion.TLSv1
        old.maximum_version = ssl.TLSVersion.TLSv1_1
        old.set_ciphers("ALL:@SECLEVEL=0")
        with socket.create_connection(("127.0.0.1", port), timeout=20) as plain, self.assertRaises(ssl.SSLError):
            old.wrap_socket(plain)
        # Halves, bytes that are no TLS, and a request in the clear, which is told what to do.
        for text in (b"", b"\x16\x03\x01", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"\x00" * 100):
            with socket.create_connection(("127.0.0.1", port), timeout=20) as plain:
                plain.sendall(text)
        with socket.create_connection(("127.0.0.1", port), timeout=20) as plain:
            plain.sendall(live)
            self.assertIn(b"https:// only", plain.recv(65536))
        # A renewed certificate is used without a signal. One that does not fit its key is not.
        key.write_bytes(other_key.read_bytes())
        wait_for(lambda: talk(live) and "The certificate before is still used" in worker.stderr, "the warning")
        certificate.write_bytes(other.read_bytes())

        def renewed():
            try:
                return talk(live, by=other)
            except ssl.SSLCertVerificationError:
                return None
        wait_for(renewed, "the new certificate")

    def test_tls_files_that_cannot_be_used(self):
        folder = self.folder / "bad-tls"
        folder.mkdir()
        certificate, key = self.certificate(folder, "good")
        _, other_key = self.certificate(folder, "another")
        locked, locked_key = self.certificate(folder, "locked", ["-passout", "pass:secret"])
        nonsense = folder / "nonsense.pem"
        nonsense.write_text("nonsense")
        for files, what in (((folder / "none.pem", key), "cannot use the certificate"), ((nonsense, key), "cannot use the certificate"),
                            ((folder, key), "cannot use the certificate"), ((key, key), "cannot use the certificate"),
                            ((certificate, folder / "none.key"), "cannot use the key"), ((certificate, nonsense), "cannot use the key"),
                            ((certificate, other_key), "cannot use the key"), ((certificate, certificate), "cannot use the key"),
                            ((locked, locked_key), "without a password"), ((certificate, ""), "go together"),
                            (("", key), "go together")):
            with self.subTest(files=files):
                refused = run(HORTON, "worker", "--web-port", "0", folder=folder,
                              env={"HORTON_WEB_TLS_CERTIFICATE": str(files[0]), "HORTON_WEB_TLS_KEY": str(files[1])})
                self.assertEqual(refused.returncode, 1, refused.stderr)
                self.assertIn(what, refused.stderr)

    def test_a_worker_whose_port_is_taken(self):
        folder = self.folder / "second"
        folder.mkdir()
        refused = run(HORTON, "worker", "--web-port", str(self.port), folder=folder)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("choose another port", refused.stderr)
        self.assertIn("--without-web", refused.stderr)


if __name__ == "__main__":
    unittest.main()
