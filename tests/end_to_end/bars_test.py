"""Daily bars, their extremes and last prices, from the stand-in market and from a moody service. Run twice: with the
documents in SQLite, and on a server with MongoDB's protocol."""
import csv
import json
import os
import re
import unittest

from collection_test import Collecting
from mongo_guard import WithServer
from outages_test import PREMIUM
from support import HORTON, ROOT, Terminal, wait_for

REAL = list(csv.DictReader(open(ROOT / "horton/data/daily/SPX.csv")))
PRICES = ("open", "high", "low", "close")


def by_a_spreadsheet(rows):
    """The extremes of the closes by year: MAX and MIN, and the first row that has them."""
    years = {}
    for row in rows:
        years.setdefault(int(row["timestamp"][:4]), []).append((row["timestamp"], float(row["close"])))
    found = []
    for year, closes in sorted(years.items()):
        high, low = max(close for _, close in closes), min(close for _, close in closes)
        first = lambda wanted: next({"date": date, "close": close} for date, close in closes if close == wanted)
        found.append({"year": year, "highest": first(high), "lowest": first(low), "adjusted": False})
    return found


def series(rows, adjusted=False):
    """AlphaVantage's reply with these rows."""
    days = {}
    for row in rows:
        day = {f"{number}. {name}": row[name] for number, name in enumerate(PRICES, 1)}
        if adjusted:
            day |= {"5. adjusted close": row["adjusted_close"], "6. volume": row["volume"],
                    "7. dividend amount": "0.0000", "8. split coefficient": "1.0"}
        else:
            day |= {"5. volume": row["volume"]}
        days[row["timestamp"]] = day
    return {"Meta Data": {"2. Symbol": "SPX"}, "Time Series (Daily)": days}


class Bars(Collecting):
    mongo = ""

    def serve_rows(self, answer):
        """A service whose answer depends on the request's outputsize and function."""
        service = self.serve([("SPX", "INDEX")])
        service.query_answer = answer
        return service

    def config(self, url, more="", folder=None):
        super().config(url, more + self.mongo, folder=folder)

    def collect(self, symbol="SPX", *options):
        got = self.here("collect", "--bars", symbol, "--json", *options)
        self.assertEqual(got.returncode, 0, got.stderr)
        (row,) = json.loads(got.stdout)
        return row

    def with_market(self, *options):
        self.config(self.start_market(*options), folder=self.place)
        worker = self.worker()
        self.collect_all(limit=60)
        return worker

    def test_real_bars_and_the_extremes_of_a_spreadsheet(self):
        self.with_market()
        first = self.collect()
        self.assertEqual((first["bars"], first["added"], first["changed"], first["missing"]), (5031, 5031, 0, 0))
        bars = self.rows("bars", "SPX")
        self.assertEqual([(bar["date"], *(bar[name] for name in PRICES), bar["volume"]) for bar in bars],
                         [(row["timestamp"], *(float(row[name]) for name in PRICES), int(row["volume"]))
                          for row in REAL])
        self.assertEqual(self.rows("extremes", "SPX"), by_a_spreadsheet(REAL))
        self.assertEqual([row["year"] for row in self.rows("extremes", "SPX", "--year", 2008)], [2008])
        self.assertEqual([bar["date"] for bar in self.rows("bars", "SPX", "--from", "2018-12-27", "--to", "2018-12-30")],
                         ["2018-12-27", "2018-12-28"])
        again = self.collect()
        self.assertEqual((again["bars"], again["added"], again["changed"]), (5031, 0, 0), "idempotent")
        self.assertEqual(self.rows("extremes", "SPX"), by_a_spreadsheet(REAL))
        self.check_no_letters()
        self.check_the_drawing()
        self.check_the_last_price()

    def check_the_drawing(self):
        piped = self.here("bars", "SPX", "--from", "2018-12-24")
        self.assertTrue(piped.stdout.isascii())
        self.assertRegex(piped.stdout, r"(?m)^\| 2018-12-24 \|  *2400.5601 \|")
        for columns, pattern in ((80, "[\u2801-\u28ff]"), (30, "[\u2581-\u2588]{30}")):
            terminal = Terminal(HORTON, "bars", "SPX", folder=self.place, columns=columns)
            self.addCleanup(terminal.end)
            self.assertRegex(terminal.wait(), pattern)

    def check_the_last_price(self):
        (row,) = json.loads(self.here("collect", "--last-price", "SPX", "--json").stdout)
        self.assertEqual((row["last_price"], row["last_price_day"]),
                         (float(REAL[-1]["close"]), REAL[-1]["timestamp"]))

    def test_all_bars_of_an_exchange(self):
        worker = self.with_market()
        wanted = [row["symbol"] for row in self.rows("securities", "--exchange", "NASDAQ")][:5]
        self.assertEqual(self.here("start-collect-bars", "--exchange", "NASDAQ").returncode, 0)
        worker.wait_for(r"The bars of \d+ securities will be collected")
        for symbol in wanted:
            wait_for(lambda: json.loads(self.here("bars", symbol, "--json").stdout or "[]"), f"bars of {symbol}", 120)

    def test_a_gap_is_filled_from_the_whole_history(self):
        rows = REAL[-200:]
        gap = rows[-150]["timestamp"]
        asked = []

        def answer(query):
            asked.append((query["function"], query["outputsize"]))
            if query["outputsize"] == "compact":
                return series(rows[-100:])
            return series([row for row in rows if len(asked) > 2 or row["timestamp"] != gap])
        self.serve_rows(answer)
        self.worker()
        self.collect_all()
        first = self.collect()
        self.assertEqual((first["bars"], first["missing"]), (199, 1), "the market itself had a gap")
        self.assertEqual((self.collect()["bars"], self.collect()["missing"]), (199, 1))
        self.assertEqual(asked, [("TIME_SERIES_DAILY", "full")] + 2 * [("TIME_SERIES_DAILY", "compact")],
                         "a gap that the whole history has is not asked for again")

    def test_a_key_that_may_not_read_the_whole_history_is_not_asked_for_it_each_day(self):
        rows = [row for row in REAL[-100:] if row != REAL[-50]]
        asked = []

        def answer(query):
            asked.append(query["outputsize"])
            return PREMIUM if query["outputsize"] == "full" else series(rows)
        self.serve_rows(answer)
        self.worker()
        self.collect_all()
        for _ in range(3):
            collected = self.collect()
            self.assertEqual((collected["bars"], collected["missing"]), (99, 1))
        self.assertEqual(asked, ["full"] + 3 * ["compact"])

    def test_bars_that_were_missed_for_long_are_fetched(self):
        rows, until = REAL[-400:], [200]

        def answer(query):
            have = rows[:until[0]]
            return series(have[-100:] if query["outputsize"] == "compact" else have)
        self.serve_rows(answer)
        self.worker()
        self.collect_all()
        self.assertEqual(self.collect()["bars"], 200)
        until[0] = 400  # nobody collected for 200 days
        self.assertEqual((self.collect()["bars"], self.collect()["added"]), (400, 0))
        self.assertEqual(self.rows("extremes", "SPX"), by_a_spreadsheet(rows))

    def test_a_corrected_close_changes_the_extremes(self):
        rows = [dict(row) for row in REAL[-50:]]
        self.serve_rows(lambda query: series(rows))
        self.worker()
        self.collect_all()
        self.collect()
        self.assertEqual(self.rows("extremes", "SPX"), by_a_spreadsheet(rows))
        rows[10]["close"] = "9999.5"
        self.assertEqual(self.collect()["changed"], 1)
        self.assertEqual(self.rows("extremes", "SPX"), by_a_spreadsheet(rows))
        rows[10]["close"] = REAL[-40]["close"]
        self.collect()
        self.assertEqual(self.rows("extremes", "SPX"), by_a_spreadsheet(rows))

    def test_adjusted_closes_are_told(self):
        rows = [dict(row, adjusted_close=str(float(row["close"]) / 2)) for row in REAL[-50:]]
        self.serve_rows(lambda query: series(rows, adjusted=query["function"].endswith("ADJUSTED")))
        self.worker(env={"HORTON_SERVICE_BARS": "adjusted"})
        self.collect_all()
        self.assertTrue(self.collect()["adjusted"])
        halves = by_a_spreadsheet([dict(row, close=row["adjusted_close"]) for row in rows])
        self.assertEqual(self.rows("extremes", "SPX"), [dict(year, adjusted=True) for year in halves])
        self.assertEqual(self.rows("bars", "SPX")[-1]["adjusted_close"], float(REAL[-1]["close"]) / 2)

    def test_replies_without_data_change_nothing(self):
        mood = [None]
        self.serve_rows(lambda query: series(REAL[-50:]) if mood[0] is None else mood[0])
        self.worker()
        self.collect_all()
        self.collect()
        before = self.rows("bars", "SPX"), self.rows("extremes", "SPX")
        for reply in ({}, {"Error Message": "Invalid API call."}, "<html>", {"Time Series (Daily)": {}},
                      {"Meta Data": {"2. Symbol": "IXIC"}, **{k: v for k, v in series(REAL[-9:]).items() if k[0] == "T"}},
                      {"Time Series (Daily)": []}):
            with self.subTest(reply):
                mood[0] = reply
                got = self.here("collect", "--bars", "SPX", limit=60)
                self.assertEqual(got.returncode, 1, got.stdout)
                self.assertEqual((self.rows("bars", "SPX"), self.rows("extremes", "SPX")), before)

    def test_bars_within_the_budget(self):
        service = self.serve_rows(lambda query: series(REAL[-50:]))
        service.securities = [(f"S{number}", "NYSE") for number in range(3)] + [("SPX", "INDEX")]
        self.config(service.url, "  rate: 3/s\n", folder=self.place)
        self.worker()
        self.collect_all(limit=60)
        self.here("start-collect-bars")
        wait_for(lambda: len(service.calls) >= 9, "the requests for bars")
        self.check_rate(service, 3, 1)

    def test_what_is_not_there_is_told(self):
        self.with_market()
        for words, code, words_told in ((("bars", "NOPE"), 1, "collect --bars NOPE"),
                                        (("extremes", "NOPE"), 1, "collect --bars NOPE"),
                                        (("bars", "SPX", "--from", "yesterday"), 2, "2018-12-31"),
                                        (("collect", "--bars", "NOPE"), 1, "not listed"),
                                        (("collect", "--bars", "SPX", "--symbol", "SPX"), 2, "is required"),
                                        (("collect",), 2, "--symbol")):
            with self.subTest(words):
                got = self.here(*words)
                self.assertEqual(got.returncode, code, got)
                self.assertIn(words_told, got.stderr)

    def test_horton_refreshes_itself(self):
        worker = self.with_market()
        jobs = {row["name"]: row for row in self.rows("cron", "list")}
        self.assertEqual((jobs["bars-nyse"]["expression"], jobs["bars-nyse"]["timezone"]),
                         ("30 17 * * MON-FRI", "America/New_York"))
        self.assertEqual(jobs["bars-tokyo"]["timezone"], "Asia/Tokyo")
        self.assertIn("list-securities", jobs)
        self.assertEqual(self.here("cron", "run-now", "list-securities").returncode, 0)
        wait_for(lambda: len(re.findall("Start collect securities", worker.stderr)) == 2,
                 "the second list, although service.refresh is false")
        self.assertEqual(self.here("cron", "run-now", "bars-nasdaq").returncode, 0)
        worker.wait_for(r"The bars of \d+ securities will be collected")
        runs = wait_for(lambda: self.rows("cron", "history", "bars-nasdaq"), "the run in the history")
        self.assertEqual([(run["outcome"], run["manual"]) for run in runs], [("ok", True)])


class BarsOnMongo(WithServer, Bars):
    def setUp(self):
        super().setUp()
        self.mongo = f"mongo:\n  host: 127.0.0.1\n  port: {self.port()}\n  database: bars_{os.getpid()}_{id(self)}\n"


if __name__ == "__main__":
    unittest.main()
