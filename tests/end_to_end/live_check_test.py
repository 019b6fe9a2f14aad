"""The live check of examples/order_check by real processes on local://: its worker, the command `livecheck`, a kill."""
import json
import re
import signal
import unittest
import urllib.request

from support import BIN, MEPHISTO, Scene, run, wait_for

SHOP = BIN.parent / "examples/order_check"


class LiveCheck(Scene):
    def shop(self, *words):
        got = run(SHOP, *words, folder=self.folder)
        self.assertEqual((got.returncode, got.stderr), (0, ""), got)
        return got.stdout

    def start_checks(self):
        checks = self.start(SHOP, "livecheck", "-p", "0", "-l", "debug", name="checks")
        self.url = checks.wait_for(r"Web pages at (http://127\.0\.0\.1:\d+)/").group(1)
        checks.wait_for(r" - Worker ready$")
        return checks

    def order(self, *ids):
        for one in ids:
            self.shop("send", "requests", json.dumps({"id": one, "side": "sell"}), "--key", one)

    def state(self):
        [state] = json.loads(self.shop("livecheck", "--states", "--json"))
        return state

    def keys(self, topic):
        return [row["key"] for row in
                json.loads(self.shop("topic", topic, "--limit", "0", "--from", "start", "--json"))]

    def wait_until_all_passed(self):
        """Waits for the reports of all tests, and returns their number."""
        def reported():
            begun = set(self.keys("livecheck"))
            return begun and set(self.keys("livecheck-report")) == begun
        wait_for(reported, lambda: self.state())
        reports = len(self.keys("livecheck-report"))
        self.assertEqual(self.state()["tests"], {"PASS": reports})
        return reports

    def test_tests_pass_are_told_and_survive_a_kill(self):
        worker = self.start(SHOP, "worker", "--without-web", name="worker")
        worker.wait_for(r" - Worker ready$")
        self.assertEqual(self.state(), {"name": "shop.OrderTest", "state": "INIT", "tests": {},
                                        "consecutive_failures": 0, "last": None, "runtime": None, "last_error": None})
        checks = self.start_checks()
        self.order(*[f"first-{i}" for i in range(8)])
        before = self.wait_until_all_passed()
        self.assertEqual(before, len(self.keys("livecheck")))
        with urllib.request.urlopen(self.url + "/metrics", timeout=30) as reply:
            metrics = reply.read().decode()
        self.assertIn(f'mephisto_livecheck_tests_total{{case="shop.OrderTest",outcome="PASS"}} {before}', metrics)
        self.assertIn('mephisto_livecheck_failing{case="shop.OrderTest"} 0', metrics)
        with urllib.request.urlopen(self.url + "/api/livecheck", timeout=30) as reply:
            self.assertEqual(json.load(reply), [self.state()])

        checks.signal(signal.SIGKILL)
        checks.wait()
        self.order(*[f"second-{i}" for i in range(8)])
        checks = self.start_checks()
        self.wait_until_all_passed()
        state = self.state()
        self.assertEqual((state["state"], state["consecutive_failures"], state["last_error"]), ("PASS", 0, None))
        table = self.shop("livecheck", "--states")
        self.assertRegex(table, r"shop\.OrderTest .* PASS")
        log = f"local://{self.folder}/shop-data/log"
        of_all = run(MEPHISTO, "--log", log, "livecheck", "--json", folder=self.folder)
        self.assertEqual((of_all.returncode, json.loads(of_all.stdout)), (0, [state]), of_all)

        for process in (checks, worker):
            process.signal(signal.SIGTERM)
        for process in (checks, worker):
            self.assertEqual(process.wait(), 0, process.stderr[-2000:])
        self.assertFalse(re.search("WARN|ERROR", checks.stderr), checks.stderr[-3000:])

    def test_without_a_log_it_says_what_to_do(self):
        folder = self.folder / "empty"
        folder.mkdir()
        for words, says in (([SHOP, "livecheck", "--states"], "there is no log yet: start a worker"),
                            ([MEPHISTO, "livecheck"], "name it by --log")):
            got = run(*words, folder=folder)
            self.assertEqual(got.returncode, 1, got)
            self.assertIn(says, got.stderr)
        got = run(SHOP, "livecheck", "--with-web", "--without-web", folder=folder)
        self.assertEqual(got.returncode, 2, got)


if __name__ == "__main__":
    unittest.main()
