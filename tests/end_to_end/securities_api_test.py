"""Horton's pages for programs: lists of securities in parts, documents, bars and the budget are what the commands print
with --json. Run twice: with the documents in SQLite, and on a server with MongoDB's protocol."""
import csv
import json
import os
import shutil
import unittest
import urllib.error
import urllib.parse
import urllib.request

from mongo_guard import port_of, server
from support import HORTON, ROOT, Scene, run, wait_for

DATA = ROOT / "horton/data"
EVIL = '<img src=x onerror="document.title=\'owned\'"><script>document.title=\'owned\'</script>'
HIDDEN = "right\u202eleft\u200b"
# Symbol, name, exchange.
STRANGE = [("EVIL", EVIL, "NYSE"), ("<b>BOLD</b>", "a symbol with a tag", "NYSE"), ("HIDDEN", HIDDEN, "NYSE"),
           ("A/B 'C'", "a symbol for no shell", "NYSE"), ("DUAL", "on two exchanges", "NYSE"),
           ("DUAL", "on two exchanges", "NASDAQ"), ("LONE", "on no exchange", ""),
           ("SIGNS", r"a.*b (c) [d] \e $f", "BATS")]
ORDER = {type(None): 0, int: 1, float: 1, str: 2}


def market_data(folder):
    """The built-in market's data, and securities with strange texts."""
    shutil.copytree(DATA, folder)
    with open(folder / "listing_status.csv", "a", newline="") as listing:
        csv.writer(listing).writerows([symbol, name, exchange, "Stock", "", "null", "Active"]
                                      for symbol, name, exchange in STRANGE)
    with open(folder / "overview.jsonl", "a") as overviews:
        overviews.write(json.dumps({"Symbol": "EVIL", "Name": EVIL, "Sector": EVIL, EVIL: EVIL}) + "\n")
    return folder


class Collected(Scene):
    """A market, a worker with pages, and all securities with the bars of SPX."""

    rate = "1000/s,9000/d"
    steps = (("start-collect-securities",), ("progress", "--follow", "--timeout", "60"), ("collect", "--bars", "SPX"))

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.config(cls.start_market("--data", market_data(cls.folder / "data")), f"  rate: {cls.rate}\n{cls.store()}")
        cls.worker = cls.start(HORTON, "worker", "-l", "info", "--web-port", "0", name="worker")
        cls.worker.wait_for(r" - Worker ready$")
        cls.base = cls.worker.wait_for(r"Web pages at (http://127\.0\.0\.1:\d+)/").group(1)
        for words in cls.steps:
            got = run(HORTON, *words, folder=cls.folder, limit=90)
            assert got.returncode == 0, got

    @classmethod
    def store(cls):
        return ""

    def ask(self, path, headers=None, **parameters):
        """Status and JSON of the reply."""
        query = f"?{urllib.parse.urlencode(parameters)}" if parameters else ""
        request = urllib.request.Request(f"{self.base}{path}{query}", headers=headers or {})
        try:
            with urllib.request.urlopen(request, timeout=30) as got:
                return got.status, json.load(got)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def get(self, path, **parameters):
        status, body = self.ask(path, **parameters)
        self.assertEqual(status, 200, body)
        return body


class Pages(Collected):
    def listed(self, **parameters):
        return self.get("/horton/securities", **parameters)["securities"]

    def test_the_list_comes_in_parts(self):
        rows = self.rows("securities")
        self.assertGreater(len(rows), 200)
        parts = [self.get("/horton/securities", skip=skip, limit=100) for skip in range(0, len(rows), 100)]
        self.assertEqual([row for part in parts for row in part["securities"]], rows)
        self.assertEqual({part["total"] for part in parts}, {len(rows)})
        self.assertEqual(self.listed(), rows[:50])
        self.assertEqual(self.listed(skip=len(rows)), [])

    def test_any_text_is_searched_for_as_it_is(self):
        rows = self.rows("securities")
        for text in ("apple", "NASD", "S&P 500", "(c)", ".*", "[d]", "\\e", "$f", "^", "a|b", "<script>", HIDDEN,
                     "nothing has this", " ", "%", "_", "x" * 100):
            with self.subTest(text):
                found = [row for row in rows if any(text.lower() in row[field].lower() for field in ("symbol", "name"))]
                got = self.get("/horton/securities", search=text, limit=200)
                self.assertEqual((got["total"], got["securities"]), (len(found), found[:200]))

    def test_an_exchange_and_a_search_hold_together(self):
        rows = self.rows("securities")
        self.assertEqual(self.listed(exchange="INDEX"), self.rows("securities", "--exchange", "INDEX"))
        self.assertEqual(self.listed(exchange=""), [row for row in rows if row["exchange"] == ""])
        self.assertEqual([(row["symbol"], row["exchange"]) for row in self.listed(search="dual", exchange="NASDAQ")],
                         [("DUAL", "NASDAQ")])
        self.assertEqual(self.listed(exchange="nyse"), [])

    def test_every_column_sorts(self):
        rows = self.rows("securities")
        for column in rows[0]:
            for down in (False, True):
                with self.subTest(column=column, down=down):
                    expected = sorted(sorted(rows, key=lambda row: (row["symbol"], row["exchange"])), reverse=down,
                                      key=lambda row: (ORDER[type(row[column])], row[column]) if row[column] is not None
                                      else (0,))
                    got = [row for skip in (0, 200)
                           for row in self.listed(sort=f"{'-' * down}{column}", skip=skip, limit=200)]
                    self.assertEqual(got, expected)

    def test_a_document_is_what_the_command_prints(self):
        for symbol, exchange in [("AAPL", "NASDAQ"), *((symbol, exchange) for symbol, _, exchange in STRANGE)]:
            with self.subTest(symbol):
                printed = self.rows("security", symbol, "--exchange", exchange)
                self.assertEqual(self.get("/horton/security", symbol=symbol, exchange=exchange), printed)
        self.assertEqual(self.get("/horton/security", symbol="DUAL"), self.rows("security", "DUAL"))
        self.assertEqual(len(self.get("/horton/security", symbol="DUAL")), 2)

    def test_bars_are_what_the_command_prints(self):
        spx = {"symbol": "SPX", "exchange": "INDEX"}
        self.assertEqual(self.get("/horton/bars", **spx), self.rows("bars", "SPX"))
        self.assertEqual(self.get("/horton/bars", **spx, **{"from": "2018-12-27", "to": "2018-12-30"}),
                         self.rows("bars", "SPX", "--from", "2018-12-27", "--to", "2018-12-30"))
        self.assertEqual(self.get("/horton/bars", symbol="IXIC", exchange="INDEX"), [], "none yet")

    def test_the_row_of_extremes_is_found_by_its_key(self):
        key = urllib.parse.quote(json.dumps({"symbol": "SPX", "exchange": "INDEX"}, separators=(",", ":")), safe="")
        (row,) = self.get(f"/table/extremes/{key}")["rows"]
        years = [{**year, "adjusted": row["value"]["adjusted"]} for year in row["value"]["years"]]
        self.assertEqual(years, self.rows("extremes", "SPX"))

    def test_the_budget_is_what_the_command_prints(self):
        now = self.get("/horton/budget")
        printed = self.rows("budget")
        self.assertEqual([row["allowed"] for row in now["budget"]], ["1000/s", "9000/d"])
        self.assertEqual(now["budget"][1], printed[1])
        self.assertEqual(now["budget"][1]["left"], 9_000 - now["budget"][1]["used"])
        self.assertGreater(now["budget"][1]["used"], 200)
        agents = {row["name"].removeprefix("@"): row["topic"] for row in self.rows("agents")}
        self.assertEqual({one["agent"]: one["topic"] for one in now["agents"]},
                         {name: agents[name] for name in ("collect_securities", "collect_security_overview",
                                                          "collect_historical", "collect_last_price")})

    def test_bad_requests_are_told_what_is_wrong(self):
        spx = {"symbol": "SPX", "exchange": "INDEX"}
        for path, parameters, status, words in (
                ("securities", {"limit": "0"}, 400, 'limit is "0", and must be a number from 1 to 200'),
                ("securities", {"limit": "201"}, 400, "from 1 to 200"),
                ("securities", {"limit": "x"}, 400, "from 1 to 200"),
                ("securities", {"skip": "-1"}, 400, "skip is"),
                ("securities", {"skip": "99999999999999999999"}, 400, "skip is"),
                ("securities", {"sort": "description"}, 400, "must be one of symbol, name, exchange"),
                ("securities", {"sort": "--name"}, 400, "sort is"),
                ("securities", {"sort": "$where"}, 400, "sort is"),
                ("securities", {"search": "x" * 101}, 400, "search has 101 bytes"),
                ("securities", {"search": b"\xff"}, 400, "UTF-8"),
                ("securities", {"exchange": "a\0b"}, 400, "UTF-8"),
                ("securities", {"page": "2"}, 400, '"page"; there are: search, exchange, sort, skip, limit'),
                ("security", {}, 400, "symbol is missing"),
                ("security", {"symbol": "NOPE"}, 404, "no security NOPE"),
                ("security", {"symbol": "SPX", "exchange": "NYSE"}, 404, "no security SPX on NYSE"),
                ("bars", {"symbol": "SPX"}, 400, "exchange is missing"),
                ("bars", {"symbol": "NOPE", "exchange": "NYSE"}, 404, "no security NOPE on NYSE"),
                ("bars", {**spx, "from": "yesterday"}, 400, "a date like 2018-12-31"),
                ("bars", {**spx, "to": "2018-02-30"}, 400, "to is"),
                ("budget", {"x": "1"}, 400, "there are: none"),
                ("nothing", {}, 404, "no such page"),
                ("page/nothing.js", {}, 404, "no such page")):
            with self.subTest(path, **parameters):
                got, body = self.ask(f"/horton/{path}", **parameters)
                self.assertEqual(got, status, body)
                self.assertIn(words, body["error"])

    def test_they_have_the_rights_of_all_pages(self):
        for path in ("securities", "security?symbol=SPX", "budget", "page/securities.js"):
            status, body = self.ask(f"/horton/{path}", headers={"Host": "evil.example"})
            self.assertEqual(status, 421, body)
        folder = self.folder / "with_token"
        folder.mkdir()
        self.config(self.base, self.store(), folder=folder)
        worker = self.start(HORTON, "worker", "-l", "info", "--web-port", "0", folder=folder, name="with-token",
                            env={"HORTON_WEB_TOKEN": "open-sesame"})
        base = worker.wait_for(r"Web pages at (http://127\.0\.0\.1:\d+)/").group(1)
        for query, status in (("", 401), ("?token=wrong", 401), ("?token=open-sesame", 200)):
            try:
                with urllib.request.urlopen(f"{base}/horton/securities{query}", timeout=30) as got:
                    self.assertEqual(got.status, status)
            except urllib.error.HTTPError as error:
                self.assertEqual(error.code, status)

    def test_the_description_has_them(self):
        paths = self.get("/openapi.json")["paths"]
        for path in ("/horton/securities", "/horton/security", "/horton/bars", "/horton/budget"):
            self.assertIn("get", paths[path])


class PagesOnMongo(Pages):
    @classmethod
    def store(cls):
        if not hasattr(cls, "url"):
            cls.url = server("start", cls.folder / "server")
            cls.addClassCleanup(server, "stop", cls.folder / "server")
        return f"mongo:\n  host: 127.0.0.1\n  port: {port_of(cls.url)}\n  database: pages_{os.getpid()}\n"


if __name__ == "__main__":
    unittest.main()
