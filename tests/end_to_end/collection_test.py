"""How Horton handles a moody service: the budget, notices in spite of it, replies without data, and the identity of a
security."""
import http.server
import json
import re
import signal
import threading
import time
import unittest
import urllib.parse

from support import Scene, wait_for

HEADER = "symbol,name,exchange,assetType,ipoDate,delistingDate,status\r\n"
KEY = "not-to-be-shown"
NOTICE = {"Information": f"We have detected your API key as {KEY} and our standard API rate limit is 25 requests per "
                         "day."}


def listing(*securities):
    return HEADER + "".join(f"{symbol},{symbol} Inc.,{exchange},Stock,,null,Active\r\n"
                            for symbol, exchange in securities)


def overview(symbol):
    return {"Symbol": symbol, "Name": f"{symbol} of the overview", "Exchange": "MARS", "Sector": "TESTING",
            "MarketCapitalization": "1000"}


class Service:
    """AlphaVantage, as moody as the test wants it. `answer(symbol, number of the call)` returns a body, (status, body),
    or both with headers. If `listing` is set, it is the listing's text."""
    listing = None
    query_answer = None  # of time series, by their query

    def __init__(self, securities, answer=lambda symbol, call: overview(symbol), port=0):
        self.securities, self.answer = securities, answer
        self.calls = []  # (time, symbol); the listing is ""
        self.lock = threading.Lock()
        service = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_GET(self):
                query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(self.path).query))
                symbol = query.get("symbol", "")
                with service.lock:
                    service.calls.append((time.monotonic(), symbol))
                    call = len(service.calls)
                series = query["function"].startswith("TIME_SERIES")
                if series and service.query_answer:
                    body = service.query_answer(query)
                elif query["function"] == "LISTING_STATUS":
                    body = service.listing or listing(*service.securities)
                else:
                    body = service.answer(symbol, call)
                status, body, headers = (*body, {})[:3] if isinstance(body, tuple) else (200, body, {})
                text = (body if isinstance(body, str) else json.dumps(body)).encode()
                try:
                    self.send_response(status)
                    for name, value in ({"Content-Length": str(len(text))} | headers).items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(text)
                    self.close_connection = "Content-Length" in headers
                except OSError:
                    pass  # the client closed

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    url = property(lambda self: f"http://127.0.0.1:{self.server.server_address[1]}/")
    asked = property(lambda self: [symbol for _, symbol in self.calls if symbol])

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Collecting(Scene):
    """A folder, a service and workers for each test."""

    def setUp(self):
        self.place = self.folder / self.id().rsplit(".", 1)[1]
        self.place.mkdir()

    def serve(self, *arguments, rate="unlimited"):
        service = Service(*arguments)
        self.addCleanup(service.close)
        self.config(service.url, f"  rate: {rate}\n", folder=self.place)
        return service

    def worker(self, *options, env=None):
        return self.start_worker(*options, folder=self.place, env=env)

    def stop(self, worker, number=signal.SIGKILL):
        worker.signal(number)
        worker.wait(15)

    def here(self, *words, **how):
        return self.horton(*words, folder=self.place, **how)

    def collect_all(self, limit=30, env=None):
        self.assertEqual(self.here("start-collect-securities").returncode, 0)
        self.wait_for_all(limit, env)

    def wait_for_all(self, limit=30, env=None):
        got = self.here("progress", "--follow", "--timeout", limit, limit=limit + 10, env=env)
        self.assertEqual(got.returncode, 0, got.stdout + got.stderr)

    def rows(self, *words):
        return json.loads(self.here(*words, "--json", limit=60).stdout)

    def check_no_letters(self):
        self.assertEqual(self.rows("dlq", "list"), [])

    def check_rate(self, service, count, window):
        """No window has more than `count` requests. A request may arrive a little after it was allowed, so the check
        allows for a small difference."""
        times = sorted(at for at, _ in service.calls)
        for early, late in zip(times, times[count:]):
            self.assertGreater(late - early, window - 0.2, f"more than {count} requests in {window} s")


class Collection(Collecting):
    def test_a_security_keeps_its_identity(self):
        self.serve([("ABC", "NYSE"), ("ABC", "LSE"), ("XYZ", "")])
        self.worker()
        self.collect_all()
        self.collect_all()
        rows = self.rows("securities")
        self.assertEqual([(row["symbol"], row["exchange"], row["sector"]) for row in rows],
                         [("ABC", "LSE", "TESTING"), ("ABC", "NYSE", "TESTING"), ("XYZ", "", "TESTING")])
        self.check_no_letters()

    def test_good_data_survives_replies_without_data(self):
        replies = {"text": "<html>Bad Gateway</html>", "unknown": {}, "error": {"Error Message": "Invalid API call."},
                   "other": overview("OTHER"), "list": [1], "cut": '{"Symbol": "ABC", "Na'}
        mood = [None]
        self.serve([("ABC", "NYSE")], lambda symbol, call: overview(symbol) if mood[0] is None else replies[mood[0]])
        self.worker()
        self.collect_all()
        (good,) = self.rows("security", "ABC")
        for kind in replies:
            with self.subTest(kind):
                mood[0] = kind
                self.here("collect", "--symbol", "ABC", limit=60)
                (now,) = self.rows("security", "ABC")
                changing = ("overview_checked_at", "overview_retries", "overview_sent_at", "overview_failed_at",
                            "overview_error")
                self.assertEqual({name: value for name, value in now.items() if name not in changing},
                                 {name: value for name, value in good.items() if name not in changing})
        self.assertEqual(len(self.rows("dlq", "list")), len(replies) - 1, "all but the unknown symbol")

    def test_notices_are_waited_out_however_many(self):
        service = self.serve([("A", "X"), ("B", "X")], lambda symbol, call: NOTICE if call < 8 else overview(symbol))
        worker = self.worker("-l", "debug")
        self.collect_all(60)
        self.check_no_letters()
        self.assertEqual({row["sector"] for row in self.rows("securities")}, {"TESTING"})
        self.assertNotIn(KEY, worker.stderr)
        self.assertLess(len(service.calls), 20, "it did not wait")

    def test_a_notice_in_spite_of_the_budget_is_believed(self):
        service = self.serve([("A", "X"), ("B", "X"), ("C", "X")],
                             lambda symbol, call: NOTICE if call == 2 else overview(symbol), rate="100/s")
        self.worker()
        self.collect_all()
        self.check_no_letters()
        self.assertEqual(sorted(set(service.asked)), ["A", "B", "C"])

    def test_the_rate_is_kept_by_two_workers_together_also_with_faults(self):
        securities = [(f"S{number:02}", "X") for number in range(25)]
        service = self.serve(securities, lambda symbol, call: (500, "oops") if call % 4 == 0 else overview(symbol),
                             rate="8/s")
        self.worker()
        self.worker()
        self.collect_all(60)
        self.check_no_letters()
        self.assertGreater(len(service.calls), 30)
        self.check_rate(service, 8, 1)

    def test_a_spent_budget_keeps_the_events_over_restarts(self):
        securities = [(f"S{number:02}", "X") for number in range(25)]
        service = self.serve(securities, rate="100/s,10/d")
        worker = self.worker()
        self.assertEqual(self.here("start-collect-securities").returncode, 0)
        worker.wait_for(r"The request budget is spent: waiting until \d{4}-\d\d-\d\dT[\d:.]+Z")
        nine = "25 securities listed, 9 overviews done"
        wait_for(lambda: nine in self.here("progress").stdout, lambda: f"{nine}, not: {self.here('progress').stdout}")
        self.stop(worker)
        worker = self.worker()
        worker.wait_for("The request budget is spent")
        self.assertEqual(len(service.calls), 10)
        (second, day) = self.rows("budget")
        self.assertEqual((second["allowed"], day["allowed"], day["used"]), ("100/s", "10/d", 10))
        self.assertRegex(list(day.values())[2], r"^\d{4}-", "when it is free again")
        self.assertRegex(self.here("progress").stdout, nine + r", waiting for the budget until \d{4}-")
        self.assertEqual(len(set(service.asked)), 9)
        self.stop(worker)
        # With a larger budget the rest is done, and nothing twice.
        self.worker(env={"HORTON_SERVICE_RATE": "unlimited"})
        self.wait_for_all()
        self.assertEqual(sorted(service.asked), [symbol for symbol, _ in securities])
        self.check_no_letters()

    def test_an_outage_costs_neither_budget_nor_events(self):
        gone = Service([])
        port = gone.server.server_address[1]
        gone.close()
        self.config(gone.url, "  rate: 100/s,25/d\n", folder=self.place)
        worker = self.worker()
        self.assertEqual(self.here("start-collect-securities").returncode, 0)
        worker.wait_for(r"(?s)(WARNING  \| .*The service is out of order: [^\n]*connection refused[^\n]* waiting until "
                        r"\d{4}-.*){3}")
        outage = {row["allowed"]: list(row.values())[1:] for row in self.rows("budget")}
        self.assertEqual(outage["25/d"][0], 0)
        self.assertRegex(outage["(service out of order)"][1], r"^\d{4}-")
        service = Service([("A", "X"), ("B", "X")], port=port)
        self.addCleanup(service.close)
        self.wait_for_all()
        self.check_no_letters()
        self.assertEqual(sorted(service.asked), ["A", "B"])
        self.assertEqual([row["used"] for row in self.rows("budget") if row["allowed"] == "25/d"], [3])

    def test_collect_says_until_when_the_budget_is_spent(self):
        self.serve([("A", "X")], rate="2/d")
        self.worker()
        self.collect_all()
        got = self.here("collect", "--symbol", "A", "--timeout", 1)
        self.assertEqual(got.returncode, 1)
        self.assertRegex(got.stderr,
                         r"^Error: no answer within .*: the request budget is spent until \d{4}-\d\d-\d\dT[\d:.]+Z; A "
                         r"is collected then\n$")

    def test_what_is_not_listed_is_refused_at_once_and_stored_nowhere(self):
        service = self.serve([("ABC", "NYSE")])
        worker = self.worker()
        self.collect_all()
        got = self.here("collect", "--symbol", "ABC", "--exchange", "XXX")
        self.assertEqual((got.returncode, got.stdout), (1, ""))
        self.assertIn("ABC on XXX is not listed; ", got.stderr)
        self.assertNotIn("trying again", worker.stderr)
        self.assertEqual([row["exchange"] for row in self.rows("securities")], ["NYSE"])
        self.assertEqual(service.asked, ["ABC"])

    def test_progress_follows_a_second_collection(self):
        service = self.serve([("A", "X"), ("B", "X"), ("GONE", "X")])
        worker = self.worker()
        self.collect_all()
        self.stop(worker, signal.SIGTERM)
        service.securities.pop()
        self.assertEqual(self.here("start-collect-securities").returncode, 0)
        self.assertEqual(self.here("progress", "--follow", "--timeout", 1).returncode, 1,
                         "nobody has listed them again")
        self.worker()
        self.wait_for_all()
        self.assertEqual(sorted(service.asked), ["A", "A", "B", "B", "GONE"])

    def test_the_stalest_come_first(self):
        securities = [(f"OLD{number:02}", "X") for number in range(30)]
        service = self.serve(securities)
        worker = self.worker()
        self.collect_all()
        self.stop(worker, signal.SIGTERM)
        service.securities += [(f"NEW{number:02}", "X") for number in range(20)]
        before = len(service.asked)
        # One request at a time, so that the order is visible: the listing, and 15 overviews.
        worker = self.worker("--shards", 1,
                             env={"HORTON_SERVICE_RATE": "100/s,16/d", "HORTON_SERVICE_CONCURRENCY": "1"})
        self.assertEqual(self.here("start-collect-securities").returncode, 0)
        worker.wait_for("The request budget is spent")
        wait_for(lambda: len(service.asked) == before + 15, lambda: f"15 overviews, not {len(service.asked) - before}")
        self.assertEqual([symbol for symbol in service.asked[before:] if not re.match("NEW", symbol)], [])

    def test_what_was_asked_for_again_while_it_waited_is_done_once(self):
        service = self.serve([("ABC", "NYSE")])
        worker = self.worker()
        self.collect_all()
        self.stop(worker, signal.SIGTERM)
        before = sum(row["committed"] or 0 for row in self.rows("lag"))
        for _ in range(3):
            self.assertEqual(self.here("send", "collect_security_overview", '{"symbol":"ABC","exchange":"NYSE"}', "-k",
                                       "ABC").returncode, 0)
        self.worker("--shards", 1, env={"HORTON_SERVICE_CONCURRENCY": "1"})
        wait_for(lambda: sum(row["committed"] or 0 for row in self.rows("lag")) == before + 3, "all three to be done",
                 20)
        self.assertEqual(service.asked, ["ABC"] * 2, "once by the listing, once by the three")
        (row,) = self.rows("security", "ABC")
        self.assertEqual((row["exchange"], row["sector"], row["_type"]), ("NYSE", "TESTING", "physical"))


if __name__ == "__main__":
    unittest.main()
