"""The session of the starting document, typed by hand: worker, send, the custom command, and the result."""
import json
import os
import re
import signal
import unittest

from support import AGENTS, HORTON, ROOT, Scene, run, wait_for

SECRET = "not-to-be-shown"
BARS_JOBS = ["bars-frankfurt", "bars-hongkong", "bars-london", "bars-nasdaq", "bars-nyse", "bars-tokyo"]
COMMANDS = ["agents", "clean-versions", "completion", "livecheck", "model", "models", "reset", "send",
            "start-collect-securities", "tables", "worker"]


def line_of(text):
    """The line of the statement in horton/agents.cc."""
    lines = (ROOT / "horton/agents.cc").read_text().splitlines()
    return next(number for number, line in enumerate(lines, 1) if text in line)


class Session(Scene):
    """One market, one worker, one collection; the tests inspect it."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.config(cls.start_market("--securities", "238"))  # the files' 237, and one with a market capitalisation
        cls.worker = cls.start_worker()
        cls.sent = run(HORTON, "send", "@collect_securities", folder=cls.folder)
        # Instead of a wait here, --timeout: then the command fails by itself and says why.
        cls.collected = run(HORTON, "--json", "progress", "--follow", "--timeout", "120", folder=cls.folder, limit=150)

    def test_the_banner_has_all_rows(self):
        banner = self.worker.stdout
        self.assertRegex(banner, r"^┌Mephisto v\d+\.\d+\.\d+─+┐$".replace("^", "(?m)^"))
        expected = {"id": "horton", "transport": rf"\[local://{self.folder}/horton-data/log\]", "store": "memory:",
                    "log": r"-stderr- \(info\)", "pid": str(self.worker.pid),
                    "hostname": re.escape(os.uname().nodename), "platform": r"C\+\+.*Linux.*", "drivers": "",
                    "  transport": r"local \(LMDB\)", "  web": "off",
                    "datadir": rf"{self.folder}/horton-data", "appdir": rf"{self.folder}/horton-data/v1"}
        rows = re.findall(r"^│ (.*?) *│ (.*?) *│$", banner, re.MULTILINE)
        self.assertEqual([name for name, _ in rows], list(expected))
        for name, value in rows:
            self.assertRegex(value, f"^{expected[name]}$", name)
        self.assertEqual(len({len(line) for line in banner.splitlines()}), 1,
                         "the borders are not straight:\n" + banner)

    def test_the_partition_table(self):
        self.worker.wait_for(r"^│ horton-__assignor-__leader │ \{0\} +│$")
        for topic in AGENTS:
            self.worker.wait_for(rf"^│ {topic} +│ \{{0-7\}} +│$")
        self.assertRegex(self.worker.stderr, r"(?m)^┌Topic Partition Set─+┬─+┐$")

    def test_send_prints_the_place_of_the_record(self):
        self.assertEqual((self.sent.returncode, self.sent.stderr), (0, ""))
        self.assertRegex(self.sent.stdout,
                         r'^\{"topic": "collect_securities", "partition": \d, "topic_partition": '
                         r'\["collect_securities", \d\], "offset": 0, "timestamp": \d{13}, '
                                           r'"timestamp_type": 0\}\n$')
        place = json.loads(self.sent.stdout)
        self.assertEqual(place["topic_partition"], [place["topic"], place["partition"]])

    def test_the_worker_logs_time_level_place_and_text(self):
        number = line_of('log::info("Start collect securities")')
        self.worker.wait_for(rf"^\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{{3}} \| INFO     \| "
                             rf"horton\.agents:collect_securities:{number} - Start collect securities$")

    def test_the_readme_shows_such_lines(self):
        readme = (ROOT / "README.md").read_text()
        for text in ("Partitions of this worker:", "Start collect securities"):
            place = self.worker.wait_for(rf"INFO     \| (\S+) - {text}$").group(1)
            self.assertIn(f"{place} - {text}\n", readme)

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
        self.assertEqual(sum(row["end"] for row in self.rows("lag") if row["topic"] == "collect_securities"),
                         before + 1)

    def test_listings_are_one_json_array(self):
        for words in ("agents", "models", "model CollectSecurityOverview", "tables", "topics",
                      "topic @collect_securities", "groups", "lag", "dlq list", "securities", "security IBM", "config",
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
        self.assertEqual([(row["name"], row["topic"]) for row in self.rows("agents")],
                         [("@" + name, "horton-__assignor-__leader") for name in BARS_JOBS] +
                         [("@" + name, name) for name in ["collect_bars", "collect_historical", "collect_last_price"]] +
                         [("@" + name, name) for name in AGENTS] +
                         [("@find_extremes", "closes"), ("@list-securities", "horton-__assignor-__leader")])
        models = {row["name"]: row["fields"] for row in self.rows("models")}
        self.assertEqual(models["CollectSecurityOverview"], ["symbol", "exchange"])
        self.assertEqual(set(models), {"CollectBars", "CollectHistorical", "CollectLastPrice",
                                       "CollectSecurityOverview", "YearsOfCloses"})
        self.assertEqual(self.rows("agents", "--local"), self.rows("agents", "--no-local"))
        self.assertEqual(self.rows("models", "--builtins"), self.rows("models", "--no-builtins"))
        self.assertEqual([row["field"] for row in self.rows("model", "CollectSecurityOverview")],
                         ["symbol", "exchange"])
        self.assertEqual({row["table"] for row in self.rows("tables")}, {"__cron", "extremes"})
        for words in ("livecheck", "livecheck --without-web -l info"):
            got = self.horton(*words.split())
            self.assertEqual((got.returncode, got.stderr), (0, ""))
            self.assertRegex(got.stdout, r"^horton has no LiveCheck")

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
        self.assertRegex(self.horton("securities", "-n", 1).stdout,
                         r"(?m)^\| symbol \| name .*\| market_capitalization \|$")

    def test_security(self):
        (row,) = self.rows("security", "IBM", "--exchange", "NYSE")
        self.assertEqual((row["symbol"], row["exchange"], row["_type"], row["overview_status"]),
                         ("IBM", "NYSE", "physical", "known"))
        self.assertIsNone(row["market_capitalization"])
        self.assertFalse([name for name in row if name != name.lower()], "snake_case")
        self.assertRegex(self.horton("security", "IBM").stdout, r"(?m)^symbol +IBM$")

    def test_collect_waits_for_the_answer(self):
        (row,) = self.rows("collect", "--symbol", "MSFT")
        self.assertEqual((row["symbol"], row["overview_status"]), ("MSFT", "known"))
        got = self.horton("collect", "--symbol", "SPX")  # an index, which AlphaVantage does not know
        self.assertEqual(got.returncode, 0)
        self.assertIn("AlphaVantage does not know SPX", got.stderr)

    def test_topics(self):
        topics = {row["topic"]: row for row in self.rows("topics")}
        self.assertEqual({name: row["partitions"] for name, row in topics.items() if "dlq" not in name
                          and "reply" not in name},
                         {"closes": 8, "collect_bars": 8, "collect_historical": 8, "collect_last_price": 8,
                          "collect_securities": 8, "collect_security_overview": 8, "horton-__assignor-__leader": 1,
                          "horton-__cron-changelog": 1, "horton-__tables": 1, "horton-extremes-changelog": 8})
        self.assertGreaterEqual(topics["collect_security_overview"]["offsets"], 237)

    def test_topic_shows_records(self):
        (record,) = self.rows("topic", "collect_security_overview", "--limit", 1)
        self.assertEqual(list(record), ["partition", "offset", "time", "key", "value", "headers"])
        self.assertEqual(record["key"], record["value"]["symbol"])
        for nothing in ("2999-01-01T00:00:00Z", "end", "999999"):
            self.assertEqual(self.rows("topic", "@collect_security_overview", "--from", nothing), [])
        one = self.rows("topic", "collect_security_overview", "--partition", record["partition"], "--from",
                        record["offset"] + 1, "--limit", 1)[0]
        self.assertEqual((one["partition"], one["offset"]), (record["partition"], record["offset"] + 1))
        middle = sorted(row["time"] for row in self.rows("topic", "collect_security_overview", "--limit", 0))[100]
        later = self.rows("topic", "collect_security_overview", "--limit", 0, "--from", middle)
        self.assertEqual(min(row["time"] for row in later), middle)
        self.assertGreaterEqual(len(self.rows("topic", "collect_security_overview", "--limit", 0)), 237)

    def test_topic_follows(self):
        place = json.loads(self.horton("send", "collect_securities", '"seen"', "-k", "k").stdout)
        follower = self.start(HORTON, "topic", "collect_securities", "--from", "start", "--limit", "0", "--follow",
                              name="follower")
        follower.wait_for(
            rf'^\{{"partition":{place["partition"]},"offset":{place["offset"]},.*"key":"k","value":"seen"',
            stream="stdout")
        self.assertEqual(self.horton("send", "collect_securities", '"later"').returncode, 0)
        follower.wait_for(r'"value":"later"', stream="stdout")
        follower.signal(signal.SIGINT)
        self.assertEqual(follower.wait(), 130)

    def test_topic_follows_without_end(self):
        follower = self.start(HORTON, "topic", "collect_security_overview", "--follow", name="follower")
        wait_for(lambda: follower.stdout.count("\n") >= 237, lambda: "all of the records: " + follower.stdout[-300:])
        follower.signal(signal.SIGINT)
        self.assertEqual(follower.wait(), 130)
        self.assertEqual(follower.stderr, "")

    def test_lag_goes_to_nothing(self):
        def done():
            rows = self.rows("lag")
            return rows if rows and not any(row["lag"] for row in rows) else None
        rows = wait_for(done, "no lag")
        self.assertEqual(list(rows[0]),
                         ["group", "topic", "partition", "end", "committed", "lag", "uncommitted", "owner",
                          "oldest_unacknowledged"])
        self.assertEqual({(row["topic"], row["partition"]) for row in rows if row["topic"] in AGENTS},
                         {(topic, number) for topic in AGENTS for number in range(8)})
        self.assertEqual({row["oldest_unacknowledged"] for row in rows}, {None})
        self.assertEqual({f":{self.worker.pid}:" in row["owner"] for row in rows}, {True})

    def test_budget(self):
        self.assertEqual(self.rows("budget"), [])
        self.assertIn("unlimited", self.horton("budget").stdout)
        limited = self.rows("budget", env={"HORTON_SERVICE_RATE": "2/s,25/d"})
        self.assertEqual([row["allowed"] for row in limited], ["2/s", "25/d"])

    def test_config_says_where_values_come_from(self):
        env = {"HORTON_SERVICE_RATE": "75/min"}
        rows = {row["setting"]: row for row in self.rows("config", "--set", "shards=3", env=env)}
        self.assertEqual(rows["shards"]["value"], "3")
        self.assertEqual((rows["shards"]["from"], rows["service.rate"]["from"]),
                         ("--set", "environment HORTON_SERVICE_RATE"))
        self.assertEqual((rows["service.apiendpoint"]["from"], rows["memory_budget"]["from"]),
                         ("config.yml:2", "default"))
        flag = {row["setting"]: row for row in self.rows("config", "--set", "service.rate=1/s", env=env)}
        self.assertEqual(flag["service.rate"]["value"], "1/s")

    def test_a_misspelt_variable_is_named(self):
        got = self.horton("config", env={"HORTON_SERVICE_RTE": "1/s"})
        self.assertEqual(got.returncode, 0)
        self.assertRegex(got.stderr,
                         r'WARNING .* environment HORTON_SERVICE_RTE: there is no such setting \(see: horton config\); '
                         r'did you mean "HORTON_SERVICE_RATE"\?\n$')

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
        got = self.horton("--debug", "collect", "--symbol", "IBM")
        self.assertNotIn(SECRET, got.stdout + got.stderr)

    def test_the_settings_page_is_what_config_prints(self):
        page = (ROOT / "docs/settings.md").read_text()
        self.assertIn(self.horton("config", "--markdown").stdout, page,
                      "docs/settings.md: print it again by `horton config --markdown`")

    def test_the_exit_codes_are_the_same_everywhere(self):
        told = self.horton("--help").stdout.splitlines()[-1].removeprefix("Exit codes: ")
        self.assertIn("2 wrong use or configuration", told)
        self.assertIn(told, self.horton("man").stdout.replace("\\-", "-"))
        self.assertIn(told, (ROOT / "docs/settings.md").read_text())

    def test_piped_output_is_plain(self):
        for words in (["--help"], ["topics"], ["agents"], ["config"]):
            self.assertTrue(self.horton(*words).stdout.isascii(), words)
        self.assertNotIn("\x1b", self.worker.stdout + self.worker.stderr)

    def test_a_log_file_takes_the_log(self):
        got = self.horton("-f", "commands.log", "-l", "debug", "agents")
        self.assertEqual((got.returncode, got.stderr), (0, ""))
        self.assertTrue((self.folder / "commands.log").exists())

    def test_from_another_folder(self):
        got = self.horton("-W", self.folder, "topics", "--json", folder="/")
        self.assertIn("collect_securities", {row["topic"] for row in json.loads(got.stdout)})


class Interrupted(Scene):
    """What a command created on the log for itself is deleted with it, even if a signal ends it."""

    def reply_topics(self):
        return [row["topic"] for row in self.rows("topics") if row["topic"].startswith("f-reply-")]

    def test_a_waiting_command_leaves_no_reply_topic(self):
        self.horton("start-collect-securities")  # creates the log
        for number in (signal.SIGINT, signal.SIGTERM):
            # nobody answers
            waiting = self.start(HORTON, "collect", "--symbol", "IBM", "--exchange", "NYSE", name="collect",
                                 env={"HORTON_SERVICE_APIKEY": "a-key"})
            wait_for(self.reply_topics, "a topic for the reply")
            waiting.signal(number)
            self.assertEqual(waiting.wait(), 128 + number, waiting.stderr)
            self.assertEqual(self.reply_topics(), [])


if __name__ == "__main__":
    unittest.main()
