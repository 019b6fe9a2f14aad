"""2,500 securities from a market that answers every tenth call with a fault, and some of them two seconds late. Every
one is complete in time."""
import csv
import io
import json
import time
import unittest

from support import HORTON, Scene, run

COUNT = 2500
TWICE = 100  # this many have the symbol of another one, on another exchange
LIMIT = 120  # the seconds that it may take


def securities():
    """(symbol, exchange, name) of each; names with commas and quotes, as in the real list."""
    for number in range(COUNT - TWICE):
        yield f"S{number:04}", "NYSE" if number % 3 else "NASDAQ", f'Number {number}, "The" Company, Inc.'
    for number in range(TWICE):
        yield f"S{number:04}", "LSE", f"Number {number} in London"


def capitalization(symbol):
    return 1_000_000 + int(symbol[1:])


class ManySecurities(Scene):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.listed = list(securities())
        listing = io.StringIO()
        rows = csv.writer(listing)  # quotes fields if it must, and ends rows with CRLF
        rows.writerow(["symbol", "name", "exchange", "assetType", "ipoDate", "delistingDate", "status"])
        rows.writerows([symbol, name, exchange, "Stock", "2001-02-03", "null",
                        "Active"] for symbol, exchange, name in cls.listed)
        data = cls.folder / "data"
        data.mkdir()
        (data / "listing_status.csv").write_text(listing.getvalue(), newline="")
        symbols = sorted({symbol for symbol, _, _ in cls.listed})
        overviews = [{"Symbol": symbol, "Name": "of the overview", "Exchange": "MARS", "Sector": "TESTING",
                      "MarketCapitalization": str(capitalization(symbol)), "PERatio": "None"}
                     for symbol in symbols]
        (data / "overview.jsonl").write_text("".join(json.dumps(one) + "\n" for one in overviews))

        cls.config(cls.start_market("--data", data, "--every", 10, "--slow-ms", 2000))
        cls.worker = cls.start_worker()
        cls.started = time.monotonic()
        run(HORTON, "start-collect-securities", folder=cls.folder)
        cls.collected = run(HORTON, "--json", "progress", "--follow", "--timeout", LIMIT, folder=cls.folder,
                            limit=LIMIT + 15)
        cls.seconds = time.monotonic() - cls.started

    def test_all_are_complete_in_time(self):
        self.assertEqual(self.collected.returncode, 0, self.collected.stderr + self.worker.stderr[-3000:])
        (row,) = json.loads(self.collected.stdout)
        self.assertEqual((row["listed"], row["checked"], row["known"], row["unknown"]), (COUNT, COUNT, COUNT, 0))
        self.assertGreater(row["retried"], COUNT // 20, "the market made no faults")
        self.assertLess(self.seconds, LIMIT)
        print(f"{COUNT} securities in {self.seconds:.1f} s, {row['retried']} requests repeated")

    def test_each_security_is_there_once_as_it_is_listed_with_its_overview(self):
        rows = json.loads(self.horton("securities", "--json").stdout)
        self.assertEqual(sorted((row["symbol"], row["exchange"]) for row in rows),
                         sorted((symbol, exchange) for symbol, exchange, _ in self.listed))
        self.assertEqual({row["sector"] for row in rows}, {"TESTING"})
        self.assertFalse([row for row in rows if row["market_capitalization"] != capitalization(row["symbol"])])

    def test_the_list_keeps_commas_and_quotes(self):
        (row,) = json.loads(self.horton("security", "S0001", "--exchange", "NYSE", "--json").stdout)
        self.assertEqual((row["ipo_date"], row["delisting_date"], row["pe_ratio"]), ("2001-02-03", None, None))
        again = json.loads(self.horton("collect", "--symbol", "S0001", "--exchange", "NYSE", "--json", limit=30).stdout)
        self.assertEqual([one["symbol"] for one in again], ["S0001"])

    def test_nothing_became_a_dead_letter_nor_is_left(self):
        self.assertEqual(json.loads(self.horton("dlq", "list", "--json").stdout), [])
        self.assertNotRegex(self.worker.stderr, r"\| (ERROR|CRITICAL)")


if __name__ == "__main__":
    unittest.main()
