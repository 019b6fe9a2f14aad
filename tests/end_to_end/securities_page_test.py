"""Horton's views in a real browser, beside a running worker and the stand-in market: they show what the commands
print."""
import os
import unittest

import python_packages
python_packages.need("page")

import browser  # noqa: E402 (its packages are found only now)

from axe_playwright_python.sync_playwright import Axe  # noqa: E402 (found only now)

from securities_api_test import EVIL, Collected  # noqa: E402
from support import HORTON, run, wait_for  # noqa: E402

SPX = "securities/SPX?exchange=INDEX"
VIEWS = ["securities", "securities?search=apple&sort=-name", SPX, "securities/EVIL?exchange=NYSE", "securities/DUAL",
         "budget"]
# How much of the page has moved without a person's doing (the browser's own measure).
SHIFTS = """window.moved = 0;
new PerformanceObserver(list => {
  for (const one of list.getEntries()) if (!one.hadRecentInput) window.moved += one.value;
}).observe({ type: 'layout-shift', buffered: true });"""
# The pixels of the chart that have the colour of a variable of the styles.
PIXELS = """name => {
    const shown = document.querySelector('.plot canvas');
    const canvas = new OffscreenCanvas(shown.width, shown.height);
    const context = canvas.getContext('2d', { willReadFrequently: true });
    context.drawImage(shown, 0, 0);
    const probe = document.createElement('span');
    probe.style.color = `var(${name})`;
    document.body.append(probe);
    const wanted = getComputedStyle(probe).color.match(/\\d+/g).map(Number);
    probe.remove();
    const data = context.getImageData(0, 0, canvas.width, canvas.height).data;
    let found = 0;
    for (let i = 0; i < data.length; i += 4)
        if (data[i + 3] > 250 && wanted.every((one, k) => Math.abs(data[i + k] - one) < 3)) found += 1;
    return found;
}"""


class InBrowser(browser.WithBrowser, Collected):
    first_view = "securities"
    scripts = (SHIFTS,)


class SecuritiesPage(InBrowser):
    def shown(self, tab):
        """The rows of the list, as the command prints them."""
        rows = [{name.rstrip(" ↑↓"): text for name, text in row.items()} for row in tab.table("Securities")]
        return [{**{name: row[name] for name in ("symbol", "name", "exchange")}, "sector": row["sector"] or None,
                 "market_capitalization": int(row["market capitalization"].replace(",", "") or 0) or None} for row in rows]

    def wait_for_symbols(self, tab, expected):
        wait_for(lambda: tab.page.wait_for_timeout(50) or [row["symbol"] for row in self.shown(tab)] == expected,
                 lambda: (expected, self.shown(tab)))

    def listed(self):
        visible = lambda text: text and "".join(f"\\u{ord(c):04x}" if c in "\u202e\u200b" else c for c in text)
        return [{**row, "name": visible(row["name"])} for row in self.rows("securities")]

    def test_the_list_is_what_the_command_prints(self):
        tab = self.tab()
        rows = self.listed()
        self.assertEqual(self.shown(tab), rows[:50])
        self.assertIn(f"1 to 50 of {len(rows)}", tab.page.inner_text("main"))
        self.assertEqual(tab.page.get_attribute("nav a[aria-current]", "href"), "#securities")
        self.check(tab)

    def test_search_order_and_pages_are_in_the_address(self):
        tab = self.tab()
        page, rows = tab.page, self.listed()
        name = lambda row: row["name"]
        by_name = lambda some, down=False: [row["symbol"] for row in sorted(some, key=name, reverse=down)][:50]
        usual = [row["symbol"] for row in rows]
        page.click("button:text-is('Next')")
        self.wait_for_symbols(tab, usual[50:100])
        page.click("th button:text-is('name')")
        self.wait_for_symbols(tab, by_name(rows))
        self.assertTrue(page.url.endswith("#securities?sort=name"), page.url)
        self.assertEqual(page.get_attribute("th[data-name=name]", "aria-sort"), "ascending")
        page.click("th button:text-is('name')")
        self.wait_for_symbols(tab, by_name(rows, True))
        found = [row for row in rows if "inc" in row["name"].lower() or "inc" in row["symbol"].lower()]
        page.fill("[name=search]", "inc")
        self.wait_for_symbols(tab, by_name(found, True))
        address = page.url
        page.reload()
        self.wait_for_symbols(tab, by_name(found, True))
        self.assertEqual((page.url, page.input_value("[name=search]")), (address, "inc"))
        page.go_back()
        self.wait_for_symbols(tab, by_name(rows, True))
        page.go_back()
        page.go_back()
        self.wait_for_symbols(tab, usual[50:100])
        page.go_back()
        self.wait_for_symbols(tab, usual[:50])
        page.go_forward()
        self.wait_for_symbols(tab, usual[50:100])
        page.fill("[name=exchange]", "INDEX")
        self.wait_for_symbols(tab, [row["symbol"] for row in rows if row["exchange"] == "INDEX"])
        page.fill("[name=search]", "nothing has this")
        tab.wait("document.querySelector('main').innerText.includes('There are no such securities.')")
        self.check(tab)

    def test_it_is_used_with_keys_alone(self):
        tab = self.tab()
        page = tab.page
        page.keyboard.press("/")
        page.keyboard.type("spx")
        self.wait_for_symbols(tab, ["SPX"])
        self.assertTrue(page.evaluate("document.activeElement.name === 'search'"), "the focus stays")
        for _ in range(20):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.innerText") == "SPX":
                break
        page.keyboard.press("Enter")
        page.wait_for_selector(".plot canvas")
        page.focus("button:text-is('5 years')")
        page.keyboard.press("Enter")
        tab.wait("document.querySelector('[name=from]').value > '2013'")
        self.assertIn("from=2013-12-", page.url)
        page.go_back()
        self.wait_for_symbols(tab, ["SPX"])
        page.focus("[name=search]")
        page.keyboard.press("Escape")
        self.wait_for_symbols(tab, [row["symbol"] for row in self.listed()][:50])
        # At the end a button keeps the focus, and does nothing.
        page.focus("button:text-is('Previous')")
        page.keyboard.press("Enter")
        self.assertTrue(page.evaluate("document.activeElement.innerText === 'Previous'"))
        self.check(tab)

    def test_one_security_with_its_bars_and_extremes(self):
        tab = self.tab(SPX)
        page = tab.page
        page.wait_for_selector(".plot canvas")
        extremes = self.rows("extremes", "SPX")
        self.assertEqual([{"year": int(row["year"]), "highest": {"date": row["on"], "close": float(row["highest"])},
                           "lowest": {"date": row["on the"], "close": float(row["lowest"])}, "adjusted": False}
                          for row in tab.table("Extremes of the closes by year")], extremes[::-1])
        self.assertIn("not adjusted for splits and dividends", page.inner_text("main"))
        bars = self.rows("bars", "SPX")
        self.assertIn(f"The close of {bars[-1]['date']} is {bars[-1]['close']}", page.inner_text("main"))
        page.click("text=All bars")
        self.assertEqual([{**{name: float(text) for name, text in row.items() if name != "date"}, "date": row["date"]}
                          for row in tab.table("Bars")], bars[::-1][:200])
        self.assertIn(f"of {len(bars):,} are here", page.inner_text("main"))
        (document,) = self.rows("security", "SPX")
        fields = page.evaluate("Object.fromEntries([...document.querySelectorAll('.fields dt')].map("
                               "one => [one.innerText, one.nextElementSibling.innerText]))")
        self.assertEqual(list(fields), list(document))
        self.assertEqual(fields["name"], document["name"])
        listed_at = document["listed_at"].rstrip("Z").replace("T", " ")
        self.assertTrue(listed_at.startswith(fields["listed_at"]), (listed_at, fields["listed_at"]))
        self.assertGreaterEqual(len(fields["listed_at"]), len("2026-01-31 12:00:00"))
        self.check(tab)

    def test_the_chart_marks_extremes_and_shows_a_range(self):
        tab = self.tab(SPX)
        page = tab.page
        page.wait_for_selector(".plot canvas")
        self.assertGreater(page.evaluate(PIXELS, "--accent"), 500, "the line")
        whole = [page.evaluate(PIXELS, name) for name in ("--good", "--bad")]
        years = len(self.rows("extremes", "SPX"))
        for pixels in whole:
            self.assertGreater(pixels, 15 * years, "a mark for each year")
        page.fill("[name=from]", "2018-01-01")
        page.fill("[name=to]", "2018-12-31")
        tab.wait("location.hash.includes('from=2018-01-01')")
        for before, name in zip(whole, ("--good", "--bad")):
            self.assertLess(page.evaluate(PIXELS, name), before / 5, "the marks of one year")
        page.reload()
        page.wait_for_selector(".plot canvas")
        self.assertEqual((page.input_value("[name=from]"), page.input_value("[name=to]")), ("2018-01-01", "2018-12-31"))
        page.click("main button:text-is('All')")
        tab.wait("!location.hash.includes('from=')")
        over = page.locator(".u-over").bounding_box()
        page.mouse.move(over["x"] + over["width"] / 4, over["y"] + 50)
        tab.wait("document.querySelector('.read').innerText.startsWith('The close of 200')")
        page.mouse.down()
        page.mouse.move(over["x"] + over["width"] / 2, over["y"] + 60, steps=5)
        page.mouse.up()
        tab.wait("location.hash.includes('from=')")
        self.assertGreater(page.input_value("[name=from]"), "2003")
        self.assertLess(page.input_value("[name=to]"), "2011")
        page.set_viewport_size({"width": 700, "height": 800})
        tab.wait("document.querySelector('.plot canvas').clientWidth < 700")
        page.emulate_media(color_scheme="dark")
        tab.wait(f"({PIXELS})('--accent') > 200")
        self.check(tab)

    def test_without_bars_it_says_what_fetches_them(self):
        tab = self.tab("securities/IXIC?exchange=INDEX")
        page = tab.page
        command = "horton collect --bars IXIC --exchange INDEX"
        self.assertEqual(page.inner_text("main .none code"), command)
        self.assertEqual(run(HORTON, *command.split()[1:], folder=self.folder, limit=90).returncode, 0)
        page.wait_for_selector(".plot canvas")
        wait_for(lambda: page.wait_for_timeout(50) or tab.table("Extremes of the closes by year"), "the extremes")
        self.assertEqual(len(tab.table("Extremes of the closes by year")), len(self.rows("extremes", "IXIC")))
        tab = self.tab("securities/A%2FB%20'C'?exchange=NYSE")
        self.assertEqual(tab.page.inner_text("main .none code"), r"horton collect --bars 'A/B '\''C'\''' --exchange NYSE")
        self.check(tab)

    def test_a_symbol_on_several_exchanges(self):
        tab = self.tab("securities/DUAL")
        tab.page.click("main a:text-is('NASDAQ')")
        tab.wait("document.querySelector('main h2')?.innerText.includes('DUAL on NASDAQ')")
        tab.open("securities/LONE?exchange=")
        tab.wait("document.querySelector('main h2')?.innerText.includes('LONE on no exchange')")
        self.check(tab)
        tab.open("securities/NOPE?exchange=NYSE")
        tab.wait("document.querySelector('[role=alert]').innerText.includes('there is no security NOPE on NYSE')")

    def test_the_market_s_markup_and_hidden_characters_are_only_text(self):
        tab = self.tab("securities?search=" + "%3Cimg")
        self.assertEqual([row["name"] for row in self.shown(tab)], [EVIL])
        for view in ("securities?exchange=NYSE&search=%3C", "securities?search=right", "securities/EVIL?exchange=NYSE",
                     "securities/%3Cb%3EBOLD%3C%2Fb%3E?exchange=NYSE", "securities/HIDDEN?exchange=NYSE"):
            with self.subTest(view):
                tab = self.tab(view)
                tab.wait("document.querySelector('main').innerText.length > 100")
                self.assertEqual(tab.page.locator("main img, main script, main b").count(), 0)
                self.assertNotIn("owned", tab.page.title())
                self.assertNotRegex(tab.page.inner_text("main"), "[\u202e\u200b]")
                self.check(tab)

    def test_the_budget_is_what_the_command_prints(self):
        tab = self.tab("budget")
        shown = {row["allowed"]: row for row in tab.table("Budget")}
        day = self.rows("budget")[1]
        self.assertEqual((shown["9000/d"]["used"], shown["9000/d"]["left"], shown["9000/d"]["free again"]),
                         (f"{day['used']:,}", f"{day['left']:,}", "now"))
        waiting = {row["agent"]: row for row in tab.table("What waits for it")}
        self.assertEqual(set(waiting), {"collect_securities", "collect_security_overview", "collect_historical",
                                        "collect_last_price"})
        self.assertEqual({row["waiting"] for row in waiting.values()}, {"0"})
        self.check(tab)

    def test_names_roles_contrast_narrow_screens_and_nothing_jumps(self):
        for scheme, size in (("light", (1280, 800)), ("dark", (1280, 800)), ("light", (375, 700))):
            tab = self.tab(scheme=scheme, size=size)
            for view in VIEWS:
                tab.open("overview")
                tab.open(view)
                tab.page.wait_for_selector("#main[aria-busy=false]")
                with self.subTest(view=view, scheme=scheme, size=size):
                    found = Axe().run(tab.page).response["violations"]
                    self.assertEqual([(one["id"], [node["html"][:120] for node in one["nodes"][:3]]) for one in found
                                      if one["impact"] in ("serious", "critical")], [])
                    self.assertLessEqual(tab.page.evaluate("document.documentElement.scrollWidth"), size[0])
            self.check(tab)
            for view in VIEWS:
                fresh = self.tab(view, scheme=scheme, size=size)
                fresh.page.wait_for_timeout(2500)  # one more look
                self.assertLess(fresh.page.evaluate("window.moved"), 0.1, (view, size))
                fresh.close()

    def test_the_first_view_is_light(self):
        tab = self.tab()
        size = "[...performance.getEntriesByType('resource')].reduce((sum, one) => sum + one.encodedBodySize, 0)"
        first = tab.page.evaluate(size)
        tab.open(SPX)
        tab.page.wait_for_selector(".plot canvas")
        print(f"the list: {first} bytes; with a chart: {tab.page.evaluate(size)} bytes")
        self.assertLess(first, 80_000)


class Spent(InBrowser):
    rate = "1000/s,5/d"
    steps = (("start-collect-securities",),)

    def test_what_waits_for_the_budget_is_live(self):
        def lag():
            rows = self.rows("lag")
            return {topic: sum(row["lag"] for row in rows if row["topic"] == topic)
                    for topic in ("collect_security_overview", "collect_historical")}
        wait_for(lambda: lag()["collect_security_overview"] > 200, lag)
        tab = self.tab("budget")
        rows = lambda: {row["agent"]: row for row in tab.table("What waits for it")}
        spent = lambda: [row for row in tab.table("Budget") if (row["allowed"], row["left"]) == ("5/d", "0")]
        (day,) = wait_for(lambda: tab.page.wait_for_timeout(50) or spent(), "the budget is spent")
        self.assertEqual(day["used"], "5")
        (printed,) = [row for row in self.rows("budget") if row["allowed"] == "5/d"]
        self.assertTrue(printed["free_again"].replace("T", " ").startswith(day["free again"]), (printed, day))
        same = lambda name: tab.page.wait_for_timeout(50) or rows()[name]["waiting"] == f"{lag()[name]:,}"
        wait_for(lambda: same("collect_security_overview"), lambda: (rows(), lag()))
        self.assertGreater(int(rows()["collect_security_overview"]["in work here"]), 0)
        self.assertIn("waits for the request budget", rows()["collect_security_overview"]["for"])
        self.assertEqual(rows()["collect_historical"]["waiting"], "0")
        self.assertEqual(run(HORTON, "start-collect-bars", "--exchange", "INDEX", folder=self.folder).returncode, 0)
        wait_for(lambda: tab.page.wait_for_timeout(50) or rows()["collect_historical"]["waiting"] == "2", rows)
        self.check(tab)
        tab.open("securities/SPX?exchange=INDEX")
        tab.wait("document.querySelector('main').innerText.includes('and wait for their turn')")


def pictures(folder):
    """Remakes the picture of docs/horton.md."""
    class Pictures(InBrowser):
        def runTest(self):
            tab = self.tab("securities/SPX?exchange=INDEX", size=(1100, 760))
            tab.page.wait_for_selector(".plot canvas")
            tab.page.screenshot(path=f"{folder}/page-security.png")
    unittest.TextTestRunner().run(unittest.TestSuite([Pictures()]))  # a suite calls setUpClass


if __name__ == "__main__":
    if folder := os.environ.get("PICTURES"):
        pictures(folder)
    else:
        unittest.main()
