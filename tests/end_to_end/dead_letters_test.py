"""Dead letters by hand: list, show, replay, drop; with the app and without it."""
import http.server
import json
import threading
import unittest

from support import MEPHISTO, Scene, run, wait_for

TOPIC = "horton-collect_security_overview-dlq"


class MovedServer(http.server.BaseHTTPRequestHandler):
    """Knows no symbol until it is told to."""
    knows = False

    def log_message(self, *_):
        pass

    def do_GET(self):
        body = (b"symbol,name,exchange\r\nA,Somebody,X\r\n" if "LISTING_STATUS" in self.path
                else b'{"Symbol": "A", "Name": "Somebody"}')
        self.send_response(200 if MovedServer.knows else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class DeadLetters(Scene):
    def setUp(self):
        self.setUpClass()
        MovedServer.knows = False
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), MovedServer)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        self.config(f"http://127.0.0.1:{server.server_address[1]}/")
        self.start_worker()

    def letters(self, count):
        """The open dead letters, once there are `count`."""
        def look():
            rows = self.rows("dlq", "list")
            return rows if len(rows) == count else None
        return wait_for(look, f"{count} dead letters") if count else self.rows("dlq", "list")

    def ok(self, *words):
        got = self.horton(*words)
        self.assertEqual((got.returncode, got.stderr), (0, ""), got)
        return got.stdout

    def refused(self, *words):
        got = self.horton(*words)
        self.assertEqual((got.returncode, got.stdout), (2, ""), got)
        return got.stderr

    def test_what_failed_is_kept_and_done_when_it_is_replayed(self):
        MovedServer.knows = True
        self.ok("start-collect-securities")
        self.ok("progress", "--follow", "--timeout", 30)
        MovedServer.knows = False
        sent = json.loads(self.ok("send", "@collect_security_overview", '{"symbol": "A", "exchange": "X"}', "-k", "A"))
        (letter,) = self.letters(1)
        origin = f"collect_security_overview/{sent['partition']}@{sent['offset']}"
        self.assertEqual((letter["agent"], letter["number"], letter["from"], letter["key"]),
                         ("collect_security_overview", 0, origin, "A"))
        self.assertIn("404", letter["reason"])
        (shown,) = self.rows("dlq", "show", "collect_security_overview", 0)
        self.assertEqual((shown["from"], shown["key"], json.loads(shown["value"])),
                         (origin, "A", {"symbol": "A", "exchange": "X"}))
        self.assertEqual(shown["attempts"], 1, "what is refused is not asked again")
        MovedServer.knows = True
        self.assertEqual(self.ok("dlq", "replay", "collect_security_overview", "0"),
                         f"Replayed 1 dead letter of {TOPIC}\n")
        self.assertEqual(self.letters(0), [])
        (again,) = [row for row in self.rows("topic", "collect_security_overview") if row["headers"]]
        self.assertEqual((again["partition"], again["key"], again["headers"]),
                         (sent["partition"], "A",
                          {"x-replayed-from": f"{TOPIC}/0@0",
                           "x-only-for": "horton/collect_security_overview@collect_security_overview"}))
        wait_for(lambda: any(row["committed"] == again["offset"] + 1 for row in self.rows("lag")
                             if (row["topic"], row["partition"]) == ("collect_security_overview", again["partition"])),
                 "the replayed record to be done")
        self.assertEqual(self.letters(0), [])
        self.assertIn(f"{TOPIC} has no open dead letter 0",
                      self.refused("dlq", "replay", "collect_security_overview", 0))

    def test_each_is_handled_once_in_any_order(self):
        for number in range(4):
            self.ok("send", "collect_security_overview", f"bad {number}", "--partition", 1)
        self.assertEqual([row["number"] for row in self.letters(4)], [0, 1, 2, 3])
        self.assertEqual(self.ok("dlq", "drop", "collect_security_overview", 2), f"Dropped 1 dead letter of {TOPIC}\n")
        self.assertEqual([row["number"] for row in self.letters(3)], [0, 1, 3])
        for action in ("show", "drop", "replay"):
            self.assertIn("no open dead letter 2", self.refused("dlq", action, "collect_security_overview", 2))
        self.assertEqual(self.ok("dlq", "drop", TOPIC, "--all"), f"Dropped 3 dead letters of {TOPIC}\n")
        self.assertEqual(self.letters(0), [])
        self.assertEqual(self.ok("dlq", "replay", "collect_security_overview", "--all"),
                         f"Replayed 0 dead letters of {TOPIC}\n")
        self.assertEqual(len(self.rows("topic", "collect_security_overview")), 4)

    def test_without_the_app(self):
        self.ok("send", "collect_security_overview", "bad", "--partition", 1)
        self.letters(1)

        def tool(*words):
            got = run(MEPHISTO, "--log", f"local://{self.folder}/horton-data/log", "dlq", *words, folder="/")
            self.assertEqual((got.returncode, got.stderr), (0, ""), got)
            return got.stdout
        self.assertEqual([row["agent"] for row in json.loads(tool("list", "--json"))], ["collect_security_overview"])
        self.assertRegex(tool("show", "collect_security_overview", "0"), r"(?m)^value: +bad$")
        self.assertEqual(tool("drop", "collect_security_overview", "0"), f"Dropped 1 dead letter of {TOPIC}\n")
        self.assertEqual(json.loads(tool("list", "--json")), [])


if __name__ == "__main__":
    unittest.main()
