"""--json makes every command print JSON, even its errors."""
import json
import re
import signal
import unittest

from support import HORTON, MEPHISTO, Scene, run

# What a command needs to do its work; other commands need nothing. If there are several lines, each is tried.
ARGUMENTS = {
    "collect": [["--symbol", "S1", "--exchange", "NYSE", "--timeout", "0.1"], ["--symbol", "S1", "--timeout", "0"]],
    "completion": [["bash"], ["zsh"], ["fish"], ["cmd"]],
    "config": [[], ["--markdown"]],
    "dlq": [["list"], ["drop", "collect_securities", "--all"], ["replay", "collect_securities", "--all", "--dry-run"],
            ["show", "collect_securities", "7"], ["nonsense"]],
    "lag": [[], ["--reset", "collect_securities=earliest", "--dry-run"], ["--reset", "nonsense"]],
    "market": [["--port", "70000"]],
    "model": [["CollectSecurityOverview"], ["Nonsense"]],
    "security": [["NOBODY"]],
    "send": [["@collect_security_overview", '{"symbol": "S1", "exchange": "X"}'],
             ["collect_securities", "{}", "--repeat", "3"], ["nowhere"]],
    "topic": [["collect_securities"], ["@collect_security_overview", "-n", "1"], ["nowhere"]],
    "why": [[], ["collect_securities"], ["nowhere"]],
}


def commands(*program, folder):
    """The commands that the program's own help lists."""
    text = run(*program, "--help", folder=folder).stdout
    return re.findall(r"^  ([a-z][a-z-]*) +\S", text[text.index("\nCommands:"):], re.MULTILINE)


class Json(Scene):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.config("http://127.0.0.1:1/")
        cls.log = f"local://{cls.folder}/horton-data/log"
        worker = cls.start_worker()
        worker.wait_for(r"\{0-7\}")
        (cls.folder / "horton-data/v0").mkdir()

    def check(self, got, what):
        if got.returncode == 0:
            self.assertEqual(got.stdout.count("\n"), 1 if got.stdout else 0, (what, got))
            self.assertIsInstance(json.loads(got.stdout), list, what)
            return
        error = json.loads(got.stderr.splitlines()[-1])
        self.assertEqual((error["exit_code"], isinstance(error["error"], str)), (got.returncode, True), what)
        self.assertEqual("try" in error, got.returncode == 2, what)
        if got.stdout:
            json.loads(got.stdout)

    def test_every_command_of_an_app(self):
        names = commands(HORTON, folder=self.folder)
        self.assertGreater(len(names), 20)
        for name in names:
            if name == "worker":
                continue
            for words in ARGUMENTS.get(name, [[]]) + [["--no-such-option"], ["one", "too", "many", "of", "them"]]:
                with self.subTest(command=name, words=words):
                    for got in (self.horton("--json", name, *words), self.horton(name, *words, "--json")):
                        self.check(got, (name, words))
                    if "--no-such-option" in words:
                        self.assertEqual(got.returncode, 2)

    def test_every_command_of_the_tool(self):
        for name in commands(MEPHISTO, folder=self.folder):
            for words in ARGUMENTS.get(name, [[]]) + [["--no-such-option"]]:
                with self.subTest(command=name, words=words):
                    self.check(run(MEPHISTO, "--log", self.log, name, *words, "--json", folder=self.folder),
                               (name, words))
        for words in (["-A"], ["-A", "nowhere.so", "agents"], ["nonsense"], ["worker"], ["topics"], []):
            self.check(run(MEPHISTO, "--json", *words, folder="/"), words)

    def test_what_is_wrong_before_a_command_is_known(self):
        for words in (["--json"], ["--json", "nonsense"], ["--json=x", "agents"], ["--json", "--nonsense", "agents"],
                      ["agents", "--json", "--config", "/dev/zero"],
                      ["--json", "agents", "--set", "x"], ["agents", "--json", "-W", "/nowhere"],
                      ["agents", "--json", "-f", "/nowhere/log"], ["agents", "--json", "-l", "loud"]):
            got = self.horton(*words)
            if words == ["--json=x", "agents"]:  # means something else
                continue
            self.assertNotEqual(got.returncode, 0, words)
            self.check(got, words)
        self.assertEqual(json.loads(self.horton("--version", "--json").stdout)[0]["program"], "horton")

    def test_a_market(self):
        market = self.start(HORTON, "market", "--json", "--port", 0, folder=self.folder, name="market")
        (opened,) = json.loads(market.wait_for(r"^\[.*\]$", stream="stdout").group())
        self.assertRegex(opened["url"], r"^http://127\.0\.0\.1:\d+/$")

    def test_after_two_dashes_it_is_a_value(self):
        self.assertRegex(self.horton("model", "--", "--json").stderr, "^Error: ")

    def test_a_worker(self):
        worker = self.start(HORTON, "worker", "--json", "-l", "info", folder=self.folder, name="worker")
        (banner,) = json.loads(worker.wait_for(r"^\[.*\]$", stream="stdout").group())
        self.assertEqual((banner["id"], banner["pid"], banner["driver"], banner["transport"]),
                         ("horton", worker.pid, "local (LMDB)", self.log))
        worker.wait_for(r" - Worker ready$")
        worker.signal(signal.SIGTERM)
        self.assertEqual(worker.wait(), 0)
        failed = self.horton("worker", "--json", "-q", "-l", "error", "--set",
                             "service.apiendpoint=https://www.alphavantage.co/", "--set", "service.apikey=")
        self.assertEqual((failed.returncode, failed.stdout), (1, ""))
        self.check(failed, "worker")
        self.assertIn("service.apikey is empty", json.loads(failed.stderr)["error"])


if __name__ == "__main__":
    unittest.main()
