"""A real browser for tests of pages: Debian's Chromium, driven by Playwright."""
import shutil
import time

from playwright.sync_api import sync_playwright

CHROMIUM = shutil.which("chromium")
CSP = "document.addEventListener('securitypolicyviolation', e => console.error('CSP: ' + e.violatedDirective));"


def launch(playwright):
    if CHROMIUM is None:
        raise AssertionError("there is no chromium: dev/deps installs it")
    return playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])  # root has no sandbox


class WithBrowser:
    """For a Scene with pages at `base`: a browser for all tests of the class."""

    first_view = "overview"
    scripts = ()  # that run in each page before its own

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.playwright = sync_playwright().start()
        cls.addClassCleanup(cls.playwright.stop)
        cls.browser = launch(cls.playwright)
        cls.addClassCleanup(cls.browser.close)

    def tab(self, view=None, **how):
        tab = Tab(self.browser, self.base, **how)
        self.addCleanup(tab.close)
        for script in self.scripts:
            tab.context.add_init_script(script)
        tab.open(view or self.first_view)
        return tab

    def check(self, tab):
        """Nothing was asked of other hosts, and nothing went wrong."""
        self.assertEqual(tab.hosts, {self.base.split("/")[2]})
        self.assertEqual(tab.wrong, [])


class Tab:
    """A page of a browser's own context, with what went wrong in it."""

    def __init__(self, browser, base, scheme="light", size=(1280, 800)):
        self.base = base
        self.context = browser.new_context(color_scheme=scheme, viewport={"width": size[0], "height": size[1]})
        self.context.add_init_script(CSP)
        self.page = self.context.new_page()
        self.page.set_default_timeout(20_000)
        self.wrong, self.hosts = [], set()
        self.page.on("console", lambda m: self.wrong.append(m.text) if m.type in ("error", "warning") else None)
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("request", lambda r: self.hosts.add(r.url.split("/")[2]) if "://" in r.url else None)

    def open(self, view="overview"):
        self.page.goto(f"{self.base}/#{view}")
        self.page.wait_for_selector("#main[aria-busy=false]")

    def table(self, name):
        """The rows of a table as they are shown: a dictionary of column to text each."""
        return self.page.evaluate("""name => {
            const table = [...document.querySelectorAll('main table')].find(t => t.getAttribute('aria-label') === name);
            if (!table || table.closest('[hidden]')) return [];
            const names = [...table.tHead.rows[0].cells].map(c => c.innerText.trim());
            return [...table.tBodies[0].rows].map(r =>
                Object.fromEntries([...r.cells].map((c, i) => [names[i], c.innerText.trim()])));
        }""", name)

    def wait(self, expression, limit=60):
        """Until the expression is true in the page. Playwright's own wait needs eval(), which the page forbids."""
        deadline = time.monotonic() + limit
        while not self.page.evaluate(expression):
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {limit} s: {expression}\n{self.page.inner_text('body')[:3000]}")
            self.page.wait_for_timeout(50)

    def close(self):
        self.context.close()
