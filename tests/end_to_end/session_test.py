"""The session of the starting document, typed by hand: worker, send, the custom command, listings, completion, and how workers end."""
import json
import os
import re
import shutil
import signal
import subprocess
import unittest

from support import HORTON, LIBHORTON, MEPHISTO, ROOT, Scene, run, wait_for

SECRET = "not-to-be-shown"
AGENTS = ["collect_securities", "collect_security_overview"]
COMMANDS = ["agents", "clean-versions", "completion", "livecheck", "model", "models", "reset", "send", "start-collect-securities", "tables", "worker"]


def line_of(text):
    """Where the statement stands in horton/agents.cc."""
    lines = (ROOT / "horton/agents.cc").read_text().splitlines()
    return next(number for number, line in enumerate(lines, 1) if text in line)


class Session(Scene):
    """One market, one worker, one collection; the tests look at it."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.config(cls.start_market("--securities", "238"))  # the files' 237, and one with a market capitalisation
        cls.worker = cls.start_worker()
        cls.sent = run(HORTON, "send", "@collect_securities", folder=cls.folder)
        # --timeout instead of a wait here: it fails by itself, and says why.
        cls.collected = run(HORTON, "--json", "progress", "--follow", "--timeout", "60", folder=cls.folder, limit=75)

    def rows(self, *words, **how):
        """What a listing command prints with --json: one array on one line, nothing else."""
        got = self.horton(*words, "--json", **how)
        self.assertEqual((got.returncode, got.stderr), (0, ""), got)
        self.assertEqual(got.stdout.count("\n"), 1, got.stdout[:500])
        rows = json.loads(got.stdout)
        self.assertIsInstance(rows, list)
        return rows

    def test_the_banner_has_all_rows(self):
        banner = self.worker.stdout
        self.assertRegex(banner, r"^┌Mephisto v\d+\.\d+\.\d+─+┐$".replace("^", "(?m)^"))
        expected = {"id": "horton", "transport": rf"\[local://{self.folder}/horton-data/log\]", "store": "memory:", "log": r"-stderr- \(info\)", "pid": str(self.worker.pid),
                    "hostname": re.escape(os.uname().nodename), "platform": r"C\+\+.*Linux.*", "drivers": "", "  transport": "local.*", "  web": "off",
                    "datadir": rf"{self.folder}/horton-data", "appdir": rf"{self.folder}/horton-data/v1"}
        rows = re.findall(r"^│ (.*?) *│ (.*?) *│$", banner, re.MULTILINE)
        self.assertEqual([name for name, _ in rows], list(expected))
        for name, value in rows:
            self.assertRegex(value, f"^{expected[name]}$", name)
        self.assertEqual(len({len(line) for line in banner.splitlines()}), 1, "the borders are not straight:\n" + banner)

    def test_the_partition_table(self):
        self.worker.wait_for(r"^│ horton-__assignor-__leader │ \{0\} +│$")
        for topic in AGENTS:
            self.worker.wait_for(rf"^│ {topic} +│ \{{0-7\}} +│$")
        self.assertRegex(self.worker.stderr, r"(?m)^┌Topic Partition Set─+┬─+┐$")

    def test_send_prints_the_place_of_the_record(self):
        self.assertEqual((self.sent.returncode, self.sent.stderr), (0, ""))
        self.assertRegex(self.sent.stdout, r'^\{"topic": "collect_securities", "partition": \d, "topic_partition": \["collect_securities", \d\], "offset": 0, "timestamp": \d{13}, '
                                           r'"timestamp_type": 0\}\n$')
        place = json.loads(self.sent.stdout)
        self.assertEqual(place["topic_partition"], [place["topic"], place["partition"]])

    def test_the_worker_logs_time_level_place_and_text(self):
        number = line_of('log::info("Start collect securities")')
        self.worker.wait_for(rf"^\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{{3}} \| INFO     \| horton\.agents:collect_securities:{number} - Start collect securities$")

    def test_everything_is_collected(self):
        self.assertEqual(self.collected.returncode, 0, self.collected.stderr + self.worker.stderr[-2000:])
        (row,) = json.loads(self.collected.stdout)
        self.assertEqual((row["listed"], row["checked"], row["known"], row["unknown"]), (238, 238, 236, 2))
        self.assertEqual(self.rows("dlq", "list"), [])

    def test_nothing_went_wrong_meanwhile(self):
        self.assertNotRegex(self.worker.stderr, r"\| (ERROR|CRITICAL|WARNING)")

    def test_help_lists_the_commands(self):
        got = self.horton("--help")
        self.assertEqual((got.returncode, got.stderr), (0, ""))
        listed = re.findall(r"^  ([a-z-]+)  +\S", got.stdout.split("Commands:\n")[1], re.MULTILINE)
        self.assertEqual(listed, sorted(listed))
        self.assertFalse(set(COMMANDS) - set(listed))
        self.assertRegex(got.stdout, r"(?m)^  start-collect-securities  Collect securities and overview\.$")
        for command in listed:
            about = self.horton(command, "-h")
            self.assertEqual((about.returncode, about.stderr), (0, ""), command)
            self.assertIn(f"Usage: horton {command}", about.stdout)

    def test_the_custom_command_runs(self):
        before = sum(row["end"] for row in self.rows("lag") if row["topic"] == "collect_securities")
        got = self.horton("start-collect-securities")
        self.assertEqual((got.returncode, got.stdout, got.stderr), (0, "", ""))
        self.assertEqual(sum(row["end"] for row in self.rows("lag") if row["topic"] == "collect_securities"), before + 1)

    def test_listings_are_one_json_array(self):
        for words in ("agents", "models", "model CollectSecurityOverview", "tables", "topics", "topic @collect_securities", "groups", "lag", "dlq list", "securities", "security IBM", "config",
                      "budget", "progress"):
            with self.subTest(words):
                for row in self.rows(*words.split()):
                    self.assertIsInstance(row, dict)
                    self.assertFalse([name for name in row if not re.fullmatch(r"\w+", name)], "names are identifiers")

    def test_json_before_the_command_is_the_same(self):
        self.assertEqual(json.loads(self.horton("--json", "agents").stdout), self.rows("agents"))

    def test_listings_are_aligned_tables(self):
        for words in ("agents", "models", "topics", "groups", "lag", "securities", "config", "budget"):
            with self.subTest(words):
                got = self.horton(*words.split())
                self.assertEqual(got.returncode, 0, got.stderr)
                table = [line for line in got.stdout.splitlines() if line.startswith(("+", "|"))]
                self.assertEqual(len({len(line) for line in table}), 1, got.stdout[:1000])

    def test_agents_models_and_tables(self):
        self.assertEqual([(row["name"], row["topic"]) for row in self.rows("agents")], [("@" + name, name) for name in AGENTS])
        self.assertEqual(self.rows("models"), [{"name": "CollectSecurityOverview", "fields": "symbol, exchange"}])
        self.assertEqual([row["field"] for row in self.rows("model", "CollectSecurityOverview")], ["symbol", "exchange"])
        for command in ("tables", "livecheck", "reset"):
            got = self.horton(command)
            self.assertEqual((got.returncode, got.stderr), (0, ""))
            self.assertRegex(got.stdout, r"^horton has no (tables|LiveCheck)")

    def test_securities(self):
        rows = self.rows("securities")
        self.assertEqual(len(rows), 238)
        self.assertEqual(list(rows[0]), ["symbol", "name", "exchange", "sector", "market_capitalization"])
        self.assertEqual(len(self.rows("securities", "--limit", 3)), 3)
        nyse = self.rows("securities", "--exchange", "NYSE")
        self.assertEqual({row["exchange"] for row in nyse}, {"NYSE"})
        self.assertLess(len(nyse), 238)
        apple = next(row for row in rows if row["symbol"] == "AAPL")
        self.assertEqual((apple["name"], apple["exchange"]), ("Apple Inc.", "NASDAQ"))
        self.assertTrue(apple["sector"])
        self.assertIsNone(apple["market_capitalization"])  # "None" in the files
        self.assertEqual([type(row["market_capitalization"]) for row in rows if row["symbol"].startswith("SYN")], [int])
        self.assertRegex(self.horton("securities", "-n", 1).stdout, r"(?m)^\| symbol \| name .*\| market_capitalization \|$")

    def test_security(self):
        (row,) = self.rows("security", "IBM", "--exchange", "NYSE")
        self.assertEqual((row["symbol"], row["exchange"], row["_type"], row["overview_status"]), ("IBM", "NYSE", "physical", "known"))
        self.assertIsNone(row["market_capitalization"])
        self.assertFalse([name for name in row if name != name.lower()], "snake_case")
        self.assertRegex(self.horton("security", "IBM").stdout, r"(?m)^symbol +IBM$")

    def test_collect_waits_for_the_answer(self):
        (row,) = self.rows("collect", "--symbol", "MSFT", limit=20)
        self.assertEqual((row["symbol"], row["overview_status"]), ("MSFT", "known"))
        got = self.horton("collect", "--symbol", "SPX", limit=20)  # an index, which AlphaVantage does not know
        self.assertEqual(got.returncode, 0)
        self.assertIn("AlphaVantage does not know SPX", got.stderr)

    def test_topics(self):
        topics = {row["topic"]: row for row in self.rows("topics")}
        self.assertEqual({name: row["partitions"] for name, row in topics.items() if "dlq" not in name and "reply" not in name},
                         {"collect_securities": 8, "collect_security_overview": 8, "horton-__assignor-__leader": 1})
        self.assertGreaterEqual(topics["collect_security_overview"]["records"], 237)

    def test_topic_shows_records(self):
        (record,) = self.rows("topic", "collect_security_overview", "--limit", 1)
        self.assertEqual(list(record), ["partition", "offset", "time", "key", "value", "headers"])
        self.assertEqual(record["key"], record["value"]["symbol"])
        self.assertEqual(self.rows("topic", "@collect_security_overview", "--from", "2999-01-01T00:00:00Z"), [])
        self.assertGreaterEqual(len(self.rows("topic", "collect_security_overview", "--limit", 0)), 237)

    def test_topic_follows(self):
        place = json.loads(self.horton("send", "collect_securities", '"seen"', "-k", "k").stdout)
        follower = self.start(HORTON, "topic", "collect_securities", "--from", "start", "--limit", "0", "--follow", name="follower")
        follower.wait_for(rf'^\{{"partition":{place["partition"]},"offset":{place["offset"]},.*"key":"k","value":"seen"', stream="stdout")
        self.assertEqual(self.horton("send", "collect_securities", '"later"').returncode, 0)
        follower.wait_for(r'"value":"later"', stream="stdout")
        follower.signal(signal.SIGINT)
        self.assertEqual(follower.wait(), 130)

    def test_lag_goes_to_nothing(self):
        def done():
            rows = self.rows("lag")
            return rows if rows and not any(row["lag"] for row in rows) else None
        rows = wait_for(done, "no lag", 20)
        self.assertEqual(list(rows[0])[:7], ["group", "topic", "partition", "end", "committed", "lag", "owner"])
        self.assertEqual({(row["topic"], row["partition"]) for row in rows if row["topic"] in AGENTS}, {(topic, number) for topic in AGENTS for number in range(8)})
        self.assertEqual({f":{self.worker.pid}:" in row["owner"] for row in rows}, {True})

    def test_budget(self):
        self.assertEqual(self.rows("budget"), [])
        self.assertIn("unlimited", self.horton("budget").stdout)
        limited = self.rows("budget", env={"HORTON_SERVICE_RATE": "2/s,25/d"})
        self.assertEqual([row["allowed"] for row in limited], ["2/s", "25/d"])

    def test_config_says_where_values_come_from(self):
        rows = {row["setting"]: row for row in self.rows("config", "--set", "shards=3", env={"HORTON_SERVICE_RATE": "75/min"})}
        self.assertEqual(rows["shards"]["value"], "3")
        self.assertEqual((rows["shards"]["from"], rows["service.rate"]["from"]), ("--set", "environment HORTON_SERVICE_RATE"))
        self.assertEqual((rows["service.apiendpoint"]["from"], rows["memory_budget"]["from"]), ("config.yml:2", "default"))
        flag = {row["setting"]: row for row in self.rows("config", "--set", "service.rate=1/s", env={"HORTON_SERVICE_RATE": "75/min"})}
        self.assertEqual(flag["service.rate"]["value"], "1/s")

    def test_secrets_are_masked(self):
        for words in (["config"], ["config", "--json"]):
            got = self.horton(*words)
            self.assertIn("***", got.stdout)
            self.assertNotIn(SECRET, got.stdout + got.stderr)
        self.assertNotIn(SECRET, self.worker.stdout + self.worker.stderr)
        for words in (["config"], ["config", "--json"]):
            got = self.horton("--set", "service.apikey=abc", *words)  # a short one too
            self.assertNotIn("abc", got.stdout)

    def test_the_budgets_and_keys_of_a_debug_log(self):
        self.worker.wait_for("Start collect")
        got = self.horton("--debug", "collect", "--symbol", "IBM", limit=20)
        self.assertNotIn(SECRET, got.stdout + got.stderr)

    def test_a_log_file_takes_the_log(self):
        got = self.horton("-f", "commands.log", "-l", "debug", "agents")
        self.assertEqual((got.returncode, got.stderr), (0, ""))
        self.assertTrue((self.folder / "commands.log").exists())

    def test_from_another_folder(self):
        got = self.horton("-W", self.folder, "topics", "--json", folder="/")
        self.assertIn("collect_securities", {row["topic"] for row in json.loads(got.stdout)})


class Completion(Scene):
    def completed(self, *words):
        """What Tab gives in bash after these words."""
        script = self.horton("completion", "bash")
        self.assertEqual((script.returncode, script.stderr), (0, ""))
        (self.folder / "completion.bash").write_text(script.stdout)
        ask = r'''
            source ./completion.bash
            how=$(complete -p horton); function=${how#*-F }; function=${function%% *}
            COMP_WORDS=(horton "$@"); COMP_CWORD=$#; COMP_LINE="horton $*"; COMP_POINT=${#COMP_LINE}
            $function horton "${@: -1}" "${COMP_WORDS[COMP_CWORD-1]}"
            printf '%s\n' "${COMPREPLY[@]}"
        '''
        got = run("bash", "-c", ask, "bash", *words, folder=self.folder)
        self.assertEqual((got.returncode, got.stderr), (0, ""))
        return [word.strip() for word in got.stdout.split("\n") if word.strip()]

    def test_the_bash_script_is_valid(self):
        self.completed("wor")
        self.assertEqual(run("bash", "-n", "completion.bash", folder=self.folder).returncode, 0)

    def test_bash_completes_commands_and_options(self):
        self.assertEqual(self.completed("wor"), ["worker"])
        self.assertEqual(self.completed("start-"), ["start-collect-securities"])
        self.assertEqual(self.completed("worker", "--sha"), ["--shards"])
        self.assertEqual(self.completed("--logl"), ["--loglevel"])
        self.assertIn("worker", self.completed("--json", "wor"))

    def test_other_shells_get_a_script(self):
        for shell in ("zsh", "fish"):
            got = self.horton("completion", shell)
            self.assertEqual((got.returncode, got.stderr), (0, ""))
            self.assertIn("start-collect-securities", got.stdout)
            if shutil.which(shell):
                (self.folder / shell).write_text(got.stdout)
                self.assertEqual(run(shell, "-n", shell, folder=self.folder).returncode, 0)
        self.assertEqual(self.horton("completion", env={"SHELL": "/usr/bin/fish"}).stdout, self.horton("completion", "fish").stdout)

    def test_the_manual_page_renders(self):
        page = self.horton("man")
        self.assertEqual((page.returncode, page.stderr), (0, ""))
        self.assertTrue(page.stdout.startswith(".TH "))
        if not shutil.which("man"):
            self.skipTest("there is no man here")
        (self.folder / "horton.1").write_text(page.stdout)
        shown = run("man", "--warnings", "-l", "horton.1", folder=self.folder, env={"MANPAGER": "cat", "MANWIDTH": "100"})
        if "not found" in shown.stderr or "minimized" in shown.stdout:
            self.skipTest("man cannot render here: " + shown.stderr)
        self.assertEqual((shown.returncode, shown.stderr), (0, ""))
        for word in ("start-collect-securities", "Collect securities and overview.", "--loglevel"):
            self.assertIn(word, shown.stdout)


class Tool(Scene):
    """The general tool, with an app as a library and on a bare log."""

    def test_it_runs_an_app(self):
        through = run(MEPHISTO, "-A", LIBHORTON, "agents", folder=self.folder)
        self.assertEqual((through.returncode, through.stderr), (0, ""))
        self.assertEqual(through.stdout, self.horton("agents").stdout)
        self.assertIn("start-collect-securities", run(MEPHISTO, "-A", LIBHORTON, "--help", folder=self.folder).stdout)

    def test_it_runs_an_apps_worker(self):
        worker = self.start(MEPHISTO, "-A", LIBHORTON, "worker", "--without-web", "-D", "tool-data", name="worker")
        worker.wait_for("Worker ready")
        worker.signal(signal.SIGTERM)
        self.assertEqual(worker.wait(), 0)

    def test_it_looks_at_a_log(self):
        worker = self.start_worker("--log", f"local://{self.folder}/log")
        worker.wait_for(r"\{0-7\}")

        def tool(*words):
            got = run(MEPHISTO, "--log", f"local://{self.folder}/log", *words, folder="/")
            self.assertEqual((got.returncode, got.stderr), (0, ""), got)
            return got.stdout
        self.assertIn("collect_securities", [row["topic"] for row in json.loads(tool("topics", "--json"))])
        self.assertEqual({row["group"] for row in json.loads(tool("groups", "--json"))}, {"horton"})
        self.assertEqual(len(json.loads(tool("lag", "--json"))), 17)
        place = json.loads(tool("send", "horton-__assignor-__leader", "by hand"))
        self.assertEqual((place["partition"], place["offset"]), (0, 0))
        (record,) = json.loads(tool("topic", "horton-__assignor-__leader", "--json"))
        self.assertEqual(record["value"], "by hand")
        self.assertEqual(json.loads(tool("dlq", "list", "--json")), [])


class Workers(Scene):
    """How workers end, share and take over; each test in a folder of its own."""

    def setUp(self):
        self.place = self.folder / self.id().rsplit(".", 1)[1]
        self.place.mkdir()
        self.url = self.start_market()
        self.config(self.url, folder=self.place)

    def owners(self):
        """Partitions by worker's process id."""
        owners = {}
        for row in json.loads(self.horton("--json", "lag", folder=self.place).stdout):
            if row["owner"] and row["topic"] in AGENTS:
                owners.setdefault(int(row["owner"].split(":")[1]), set()).add((row["topic"], row["partition"]))
        return owners

    def test_sigterm_and_sigint_stop_it_with_0(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            worker = self.start_worker(folder=self.place)
            worker.wait_for(r"\{0-7\}")
            worker.signal(number)
            self.assertEqual(worker.wait(12), 0, worker.stderr)  # drain_timeout is 10 s
            self.assertRegex(worker.stderr, rf"{number.name}: stopping\n(.*\n)*.*Stopped\n$")

    def test_sigterm_waits_for_what_is_processed_only_as_long_as_drain_timeout(self):
        with_slow = self.start_market("--slow", "1", "--slow-ms", "60000")
        self.config(with_slow, "drain_timeout: 1s\n", folder=self.place)
        worker = self.start_worker(folder=self.place)
        self.horton("send", "@collect_securities", folder=self.place)
        worker.wait_for("Start collect securities")
        worker.signal(signal.SIGTERM)
        self.assertEqual(worker.wait(6), 0, worker.stderr)

    def test_what_was_not_done_is_done_by_the_next_worker(self):
        worker = self.start_worker(folder=self.place)
        worker.signal(signal.SIGTERM)
        worker.wait(12)
        self.assertEqual(self.horton("start-collect-securities", folder=self.place).returncode, 0)
        self.start_worker(folder=self.place).wait_for("Listed 237 securities")

    def test_a_second_worker_shares_and_takes_over(self):
        first = self.start_worker(folder=self.place)
        second = self.start_worker(folder=self.place)
        everything = {(topic, number) for topic in AGENTS for number in range(8)}

        def shared():
            owners = self.owners()
            return set(owners) == {first.pid, second.pid} and set.union(*owners.values()) == everything and [len(one) for one in owners.values()] == [8, 8]
        wait_for(shared, lambda: f"two owners with one half each: {self.owners()}")
        first.signal(signal.SIGKILL)
        first.wait()
        wait_for(lambda: self.owners() == {second.pid: everything}, lambda: f"the second to have all: {self.owners()}", 3)
        sent = json.loads(self.horton("send", "@collect_securities", folder=self.place).stdout)
        second.wait_for("Start collect securities", limit=3)
        self.assertEqual(sent["offset"], 0)

    def test_sigusr1_shows_what_tasks_wait_for(self):
        worker = self.start_worker("--shards", 1, folder=self.place)
        worker.wait_for(r"\{0-7\}")
        worker.signal(signal.SIGUSR1)
        worker.wait_for(r"^collect_security_overview: waits for .+ since ")
        worker.wait_for(r"consumed = acked \+ in flight \+ dead-lettered \+ skipped")
        for equation in re.findall(r"\): (\d+) = (\d+) \+ (\d+) \+ (\d+) \+ (\d+)", worker.stderr):
            consumed, *parts = map(int, equation)
            self.assertEqual(consumed, sum(parts))
        self.assertIsNone(worker.child.poll())

    def test_a_quiet_worker_prints_no_banner(self):
        worker = self.start_worker("-q", folder=self.place)
        self.assertEqual(worker.stdout, "")

    def test_an_idle_worker_uses_no_cpu(self):
        worker = self.start_worker(folder=self.place)
        worker.wait_for(r"\{0-7\}")

        def ticks():
            fields = open(f"/proc/{worker.pid}/stat").read().rsplit(")", 1)[1].split()
            return int(fields[11]) + int(fields[12])
        before = ticks()
        with self.assertRaises(subprocess.TimeoutExpired):
            worker.wait(3)
        self.assertLessEqual(ticks() - before, 6, "ticks of 10 ms in 3 s")


if __name__ == "__main__":
    unittest.main()
