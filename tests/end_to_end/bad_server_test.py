"""A market server that refuses, hangs, sends garbage."""
import concurrent.futures
import http.server
import json
import re
import signal
import socket
import threading
import unittest

from bad_input import FAILED, BadInput, add_tests
from support import HORTON, STACK_TRACE, run

SERVER = [
    ("HTML", "HTML", ["not a JSON object", "<html>"]),
    ("binary", "BINARY", ["not a JSON object"]),
    ("an empty reply", "EMPTY", ["not a JSON object"]),
    ("a list", "LIST", ["not a JSON object"]),
    ("an error message", "ERROR", ["refused", "Invalid API call"]),
    ("no symbol in it", "OTHER", ["has no symbol"]),
    ("404", "404", ["status 404"]),
    ("always 500", "500", ["500"]),
    ("a cut body", "CUT", ["cut off"]),
    ("no HTTP", "NOHTTP", ["cannot get http://127.0.0.1"]),
    ("nothing, and hangs", "HANG", ["within 300 ms"]),
]
LISTINGS = [
    ("HTML", b"<html><body>502</body></html>", ["listing"]),
    ("empty", b"", ["listing is empty"]),
    ("other columns", b"a,b,c\r\n1,2,3\r\n", ['"a"', "symbol"]),
    ("a row too short", b"symbol,name,exchange\r\nA,B\r\n", ["most rows", "line 2", "2 fields", "not 3"]),
    ("a quote that is not closed", b'symbol,name,exchange\r\nA,"B,C\r\n', ["most rows", "line 2", "quote"]),
    ("binary", bytes(range(256)), ["listing"]),
]


class BadServer(http.server.BaseHTTPRequestHandler):
    """Answers what the symbol names; the test chooses the listing."""
    listing = b""
    kind = True  # whether it behaves well: it knows no symbol
    released = threading.Event()

    def log_message(self, *_):
        pass

    def do_GET(self):
        symbol = re.search(r"symbol=(\w+)", self.path)
        kind = symbol.group(1) if symbol else "LISTING"
        if symbol and BadServer.kind:
            kind = "UNKNOWN"
        status = int(kind) if kind.isdigit() else 200
        body = {"LISTING": BadServer.listing, "HTML": b"<html><body>Bad Gateway</body></html>",
                "BINARY": bytes(range(256)), "EMPTY": b"", "LIST": b"[1, 2]",
                "ERROR": b'{"Error Message": "Invalid API call."}', "UNKNOWN": b"{}", "OTHER": b'{"Name": "somebody"}',
                "CUT": b'{"Symbol": "C'}.get(kind, b'{"Symbol": "%s"}' % kind.encode())
        if kind == "HANG":
            BadServer.released.wait(60)
        if kind == "NOHTTP":
            self.wfile.write(b"\x00\x01 this is no HTTP\r\n\r\n")
            self.close_connection = True
            return
        try:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body) + (100 if kind == "CUT" else 0)))
            self.end_headers()
            self.wfile.write(body)
        except OSError:
            pass  # the client gave up
        self.close_connection = kind == "CUT"


class Server(BadInput):
    """A server that misbehaves: the caller gets the reason, and the good symbol is still collected."""
    PATIENCE = 240  # the worker retries for half a minute

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), BadServer)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        cls.addClassCleanup(server.server_close)
        cls.addClassCleanup(server.shutdown)
        cls.addClassCleanup(BadServer.released.set)
        cls.config(f"http://127.0.0.1:{server.server_address[1]}/", "  deadline: 300ms\n  concurrency: 32\n")
        cls.refused = cls.folder / "refused"
        cls.refused.mkdir()
        # A security has to be listed before it is collected.
        symbols = ["GOOD", "REFUSED", *(symbol for _, symbol, _ in SERVER)]
        BadServer.listing = "".join(
            ["symbol,name,exchange\r\n", *(f"{symbol},{symbol},X\r\n" for symbol in symbols)]).encode()
        cls.config(f"http://127.0.0.1:{server.server_address[1]}/", folder=cls.refused)
        cls.worker = cls.start_worker()
        before = cls.start_worker(folder=cls.refused)
        for folder in (cls.folder, cls.refused):
            run(HORTON, "start-collect-securities", folder=folder)
            run(HORTON, "progress", "--follow", "--timeout", 60, folder=folder, limit=90).check_returncode()
        before.signal(signal.SIGTERM)
        before.wait()
        BadServer.kind = False
        with socket.create_server(("127.0.0.1", 0)) as free:
            cls.config(f"http://127.0.0.1:{free.getsockname()[1]}/", folder=cls.refused)
        cls.refusing = cls.start_worker(folder=cls.refused)

        def collect(symbol, folder, patience=200):
            return run(HORTON, "collect", "--symbol", symbol, "--exchange", "X", "--timeout", patience, folder=folder,
                       limit=cls.PATIENCE)
        # All at once, because they mostly wait for the pauses between attempts. The service is not out of order,
        # because it answers the good one repeatedly.
        with concurrent.futures.ThreadPoolExecutor(len(SERVER) + 2) as pool:
            started = {symbol: pool.submit(collect, symbol, cls.folder) for _, symbol, _ in SERVER}
            refused = pool.submit(collect, "REFUSED", cls.refused, 5)
            cls.results = {"GOOD": collect("GOOD", cls.folder)}
            while not all(one.done() for one in started.values()):
                collect("GOOD", cls.folder)
            cls.results |= {symbol: one.result() for symbol, one in started.items()} | {"REFUSED": refused.result()}

    def try_answer(self, row):
        _, symbol, says = row
        self.check_message(self.results[symbol], FAILED, says)

    def test_a_server_that_refuses(self):
        self.check_message(self.results["REFUSED"], FAILED,
                           ["no answer within", "out of order", "connection refused", "until 2"])
        self.refusing.wait_for("The service is out of order: cannot get http://127.0.0.1:.*connection refused.* "
                               "waiting until ")
        self.assertEqual(json.loads(self.horton("--json", "dlq", "list", folder=self.refused).stdout), [])

    def test_a_good_symbol_is_collected_meanwhile(self):
        self.assertEqual(self.results["GOOD"].returncode, 0, self.results["GOOD"].stderr)

    def test_the_key_is_in_no_message(self):
        self.assertNotIn("not-to-be-shown", self.worker.stderr + "".join(one.stderr for one in self.results.values()))

    def try_listing(self, row):
        _, body, says = row
        BadServer.listing = body
        sent = self.horton("send", "@collect_securities")
        self.assertEqual(sent.returncode, 0, sent.stderr)
        place = json.loads(sent.stdout)
        where = re.escape(f"collect_securities/{place['partition']}@{place['offset']}")
        line = self.worker.wait_for(rf"^.* \| ERROR +\| .* {where}: .*$").group(0)
        for word in [*says, "horton dlq list collect_securities"]:
            self.assertIn(word, line)
        self.assertIsNone(STACK_TRACE.search(line))
        # The bad listings have added nothing.
        self.assertEqual(json.loads(self.horton("--json", "securities", "--exchange", "B").stdout), [])


add_tests(Server, SERVER, Server.try_answer)
add_tests(Server, [("listing: " + name, *rest) for name, *rest in LISTINGS], Server.try_listing)


if __name__ == "__main__":
    unittest.main()
