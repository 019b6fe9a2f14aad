"""Trouble that costs neither events nor the budget: a service that is out of order, documents that cannot be written, a
clock that was wrong once. And what a collection reports at its end if something failed."""
import datetime
import json
import os
import signal
import sqlite3
import subprocess
import time
import unittest

import collection_test
from collection_test import HEADER, overview
from support import wait_for

PREMIUM = {"Information": "Thank you for using Alpha Vantage! This is a premium endpoint. You may subscribe to any of "
                          "the premium plans to instantly unlock all premium endpoints"}
BLOCKED = {"Information": "Your API key has been blocked. Please contact support@alphavantage.co."}


class Outages(collection_test.Collecting):
    def used(self, term="25/d"):
        return {row["allowed"]: row["used"] for row in self.rows("budget")}[term]

    def out_of_order(self, answer, seconds, listing_too=False):
        """A service that gives this answer at first. Returns how many requests it had in that time, besides the
        listing. Nothing is lost."""
        until = [None]

        def reply(symbol, call):
            until[0] = until[0] or time.monotonic() + seconds
            return answer() if time.monotonic() < until[0] else overview(symbol)
        service = self.serve([(f"S{number}", "X") for number in range(5)], reply, rate="20/s,25/d")
        worker = self.worker()
        self.assertEqual(self.here("start-collect-securities").returncode, 0)
        worker.wait_for(r"The service is out of order: .*; waiting until ")
        self.assertRegex(self.here("progress").stdout,
                         r"0 overviews done, waiting for the service until \d{4}-[^ ]+ \(.+\)")
        wait_for(lambda: "the service to work again" in self.here("why", "collect_security_overview").stdout,
                 "the reason why events wait")
        self.wait_for_all(60)
        self.check_no_letters()
        self.assertEqual(self.used(), 6, "the listing and five overviews")
        return len([at for at, symbol in service.calls if symbol and at < until[0]])

    def test_503_for_a_while(self):
        self.assertLess(self.out_of_order(lambda: (503, "down for maintenance"), 8), 12)

    def test_503_that_says_when_to_come_again(self):
        self.assertLessEqual(self.out_of_order(lambda: (503, "down", {"Retry-After": "6"}), 5), 5,
                             "before the first answer, all of them")

    def test_a_gateway_without_a_service(self):
        self.assertLess(self.out_of_order(lambda: (502, "<html>Bad Gateway</html>"), 3), 10)

    def test_answers_that_are_cut_off(self):
        self.assertLess(self.out_of_order(lambda: (200, '{"Symbol": ', {"Content-Length": "1000"}), 3), 10)

    def test_the_stand_in_market_is_down_for_a_while(self):
        self.config(self.start_market("--down", 4, "--retry-after", 5), "  rate: 1000/s,300/d\n", folder=self.place)
        worker = self.worker()
        self.collect_all(60)
        self.assertIn("The service is out of order: status 503: Service Unavailable", worker.stderr)
        self.assertEqual(self.used("300/d"), 238)
        self.check_no_letters()

    def test_a_quota_that_says_when_to_come_again(self):
        service = self.serve([("A", "X"), ("B", "X")],
                             lambda symbol, call: (429, "", {"Retry-After": "3"}) if call == 2 else overview(symbol),
                             rate="1/s,25/d")
        self.worker()
        self.collect_all()
        first, second = sorted(at for at, symbol in service.calls if symbol)[:2]
        self.assertGreater(second - first, 2.8)
        self.check_no_letters()

    def test_what_is_refused_costs_one_request(self):
        for name, answer in {"PREMIUM": PREMIUM, "BLOCKED": BLOCKED,
                             "INPUTS": {"Information": "Invalid inputs. Please refer to the API documentation."},
                             "CALL": {"Error Message": "Invalid API call."}, "FORBIDDEN": (403, "no")}.items():
            with self.subTest(name):
                self.place = self.folder / f"{self.id().rsplit('.', 1)[1]}-{name}"
                self.place.mkdir()
                service = self.serve([("A", "X")], lambda symbol, call, answer=answer: answer)
                worker = self.worker()
                self.assertEqual(self.here("start-collect-securities").returncode, 0)
                got = self.here("progress", "--follow", "--timeout", 30)
                self.assertEqual(got.returncode, 1)
                self.assertIn("Error: 1 of 1 overviews failed; see: horton dlq list collect_security_overview",
                              got.stderr)
                self.assertEqual(service.asked, ["A"])
                (letter,) = self.rows("dlq", "list")
                if isinstance(answer, dict):
                    self.assertIn(next(iter(answer.values()))[:20], letter["reason"])
                    self.assertIn(next(iter(answer.values()))[:60], worker.stderr)
                self.stop(worker)

    def test_a_bad_reply_costs_two_requests(self):
        service = self.serve([("A", "X")], lambda symbol, call: "<html>")
        self.worker()
        self.assertEqual(self.here("start-collect-securities").returncode, 0)
        self.assertEqual(self.here("progress", "--follow", "--timeout", 30).returncode, 1)
        self.assertEqual(service.asked, ["A", "A"])


class Ends(collection_test.Collecting):
    def test_progress_ends_when_some_failed(self):
        bad = [True]
        self.serve([(f"S{number}", "X") for number in range(6)],
                   lambda symbol, call: {"Error Message": "Invalid API call."} if symbol < "S2" and bad[0]
                   else overview(symbol))
        self.worker()
        self.assertEqual(self.here("start-collect-securities").returncode, 0)
        got = self.here("progress", "--follow", "--timeout", 30)
        self.assertEqual(got.returncode, 1, got)
        self.assertIn("6 securities listed, 4 overviews done, 2 failed", got.stdout)
        self.assertIn("Error: 2 of 6 overviews failed; see: horton dlq list collect_security_overview", got.stderr)
        (row,) = self.rows("progress")
        self.assertEqual((row["listed"], row["checked"], row["known"], row["failed"]), (6, 4, 4, 2))
        bad[0] = False
        self.assertEqual(self.here("dlq", "replay", "collect_security_overview", "--all").returncode, 0)
        wait_for(lambda: self.rows("progress")[0]["failed"] == 0, "the replayed ones to be done")
        self.wait_for_all()

    def test_progress_ends_when_the_listing_fails(self):
        service = self.serve([("A", "X")])
        service.listing = "timestamp,open,high\r\n2018-12-31,1,2\r\n"
        self.worker()
        self.assertEqual(self.here("start-collect-securities").returncode, 0)
        got = self.here("progress", "--follow", "--timeout", 30)
        self.assertEqual(got.returncode, 1, got)
        self.assertRegex(got.stderr,
                         r"^Error: the listing failed: .*\"timestamp\".*; see: horton dlq list collect_securities\n$")
        service.listing = None
        self.collect_all()

    def test_an_empty_listing_ends(self):
        service = self.serve([])
        self.worker()
        self.collect_all()
        self.assertEqual(self.rows("securities"), [])
        self.assertEqual(service.asked, [])

    def test_a_bad_row_costs_that_row(self):
        service = self.serve([])
        service.listing = (
            HEADER + "".join(f'S{number:05},"S{number}, Inc.",NYSE,Stock,,null,Active\r\n' for number in range(200))
            + 'BAD1,"Bad,NYSE,Stock,,null,Active\r\n'
            'GOOD,Good,NYSE,Stock,,null,Active\r\n'
            'BAD2,a,b,NYSE,Stock,,null,Active\r\n')
        worker = self.worker()
        self.collect_all()
        self.assertEqual(len(self.rows("securities")), 201)
        self.assertRegex(worker.stderr, r'line 202 has a quote in a wrong place: "BAD1,')
        self.assertRegex(worker.stderr, r"line 204 has 8 fields, not 7: ")
        self.assertIn("2 rows of the listing cannot be read and are left out; 201 rows are read", worker.stderr)

    def test_a_reply_changes_nothing_that_horton_notes(self):
        self.serve([("A", "X")], lambda symbol, call: overview(symbol) | {
            "Listed At": "1999-01-01", "Overview Checked At": "2999-01-01", "OverviewSentAt": "x", "_type": "x"})
        self.worker()
        self.collect_all()
        (row,) = self.rows("security", "A")
        now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d")
        for name in ("listed_at", "overview_checked_at", "overview_sent_at"):
            self.assertEqual(row[name][:10], now, name)

    def test_numbers_are_as_people_write_them(self):
        self.serve([("A", "X")], lambda symbol, call: overview(symbol) | {
            "50DayMovingAverage": "101.52", "Code": "007", "MarketCapitalization": "0012", "Beta": "0.00001"})
        self.worker()
        self.collect_all()
        text = self.here("security", "A").stdout
        self.assertRegex(text, r"(?m)^50_day_moving_average +101\.52$")
        self.assertRegex(text, r"(?m)^beta +0\.00001$")
        raw = self.here("security", "A", "--json").stdout
        self.assertIn('"50_day_moving_average":101.52,', raw)
        (row,) = json.loads(raw)
        self.assertEqual((row["code"], row["market_capitalization"]), ("007", "0012"))
        (row,) = self.rows("securities")
        self.assertEqual(row["market_capitalization"], "0012")


class Documents(collection_test.Collecting):
    def wait_and_go_on(self, away, back, says):
        """The documents are unusable for a while during a collection: events wait, and continue."""
        service = self.serve([(f"S{number:03}", "X") for number in range(60)], rate="30/s")
        worker = self.worker(env=self.documents_env())
        self.assertEqual(self.here("start-collect-securities", env=self.documents_env()).returncode, 0)
        wait_for(lambda: len(service.asked) > 5, "some overviews")
        away()
        worker.wait_for(says + r".*; events wait for it")
        self.assertIn(" the documents", self.here("why", "collect_security_overview", env=self.documents_env()).stdout)
        back()
        worker.wait_for(r"the documents in .* is back")
        self.wait_for_all(60, env=self.documents_env())
        self.check_no_letters()
        self.assertEqual(sorted(set(service.asked)), sorted(service.asked), "what a document cost is not spent again")

    def documents_env(self):
        return {}

    def test_locked(self):
        file = self.place / "horton-data" / "documents.db"
        other = []

        def lock():
            other.append(sqlite3.connect(file, isolation_level=None, check_same_thread=False))
            other[0].execute("BEGIN IMMEDIATE")
        self.wait_and_go_on(lock, lambda: other[0].execute("ROLLBACK"), "another program has it locked")
        other[0].close()

    @unittest.skipUnless(os.geteuid() == 0, "mounts a small file system")
    def test_a_full_disk(self):
        self.small = self.place / "small"
        self.small.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", self.small], check=True)
        self.addCleanup(subprocess.run, ["umount", "-l", self.small], check=True)
        self.documents_env = lambda: {"HORTON_DOCUMENTS": str(self.small / "documents.db")}
        ballast = self.small / "ballast"

        def fill():
            with ballast.open("wb", buffering=0) as file:
                try:
                    while file.write(b"\0" * 4096):
                        pass
                except OSError:
                    pass
        self.wait_and_go_on(fill, ballast.unlink, r"cannot use the documents in .*")

    def test_a_stop_is_heard_while_they_are_locked(self):
        service = self.serve([(f"S{number:03}", "X") for number in range(60)], rate="30/s")
        worker = self.worker()
        self.assertEqual(self.here("start-collect-securities").returncode, 0)
        wait_for(lambda: len(service.asked) > 5, "some overviews")
        other = sqlite3.connect(self.place / "horton-data" / "documents.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        worker.wait_for("; events wait for it")
        worker.signal(signal.SIGTERM)
        self.assertEqual(worker.wait(15), 0, worker.stderr)
        other.close()
        self.worker()
        self.wait_for_all()
        self.check_no_letters()


class Clock(collection_test.Collecting):
    def test_three_days_ahead_for_a_moment(self):
        service = self.serve([("A", "X"), ("B", "X")], rate="5/s,4/d")
        worker = self.worker()
        self.collect_all()
        self.stop(worker, signal.SIGTERM)
        # A worker with a wrong clock noted this.
        future = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=3)
        text = future.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        documents = sqlite3.connect(self.place / "horton-data" / "documents.db")
        with documents:
            documents.execute("UPDATE securities SET doc = json_set(doc, '$.overview_checked_at', ?1, '$.listed_at', "
                              "?1, '$.overview_sent_at', ?1)", (text,))
            documents.execute("UPDATE collections SET doc = json_set(doc, '$.asked_at', ?1, '$.listed_at', ?1)",
                              (text,))
            ms = int(future.timestamp() * 1000)
            documents.execute("UPDATE budget SET doc = json_set(doc, '$.times', json_array(?1, ?1, ?1, ?1), "
                              "'$.paused_until', ?1 + 5000, '$.paused_at', ?1, '$.noticed_at', ?1 * 1000)", (ms,))
        documents.close()
        self.assertEqual([row["used"] for row in self.rows("budget")], [0, 0])
        self.wait_for_all(5)  # that collection is done, whatever its times are
        self.worker()
        self.collect_all()
        self.assertEqual(sorted(service.asked), ["A", "A", "B", "B"], "it was asked")
        self.check_no_letters()


if __name__ == "__main__":
    unittest.main()
