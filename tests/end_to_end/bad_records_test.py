"""Bad commands and records on a log with a worker, which continues."""
import json
import os
import re
import unittest

from bad_input import BadInput, add_tests, failure, usage
from support import HORTON, STACK_TRACE, wait_for

# On a log with topics, dead letters and a worker.
ON_A_LOG = [
    usage("unknown agent", "send @nope", '"nope"', "agents"),
    usage("misspelt agent", "send @collect_securites", 'did you mean "collect_securities"'),
    usage("agent left out", "send @", "agent", "horton agents"),
    usage("unknown topic", "send nope_topic", "nope_topic", "@AGENT"),
    usage("misspelt topic", "send collect_securites", 'did you mean "collect_securities"'),
    usage("name that no topic can have", ["send", "bad name"], "bad name", "letters"),
    usage("empty topic", ["send", ""], '""', "topic"),
    usage("topic with a long name", ["send", "x" * 300], "249", "300"),
    usage("partition too large", "send collect_securities --partition 8", "collect_securities", "0 to 7", "8"),
    usage("partition below zero", "send collect_securities --partition -1", "collect_securities", "0 to 7", "-1"),
    usage("partition is not a number", "send collect_securities --partition one", "--partition", '"one"'),
    usage("unknown codec", "send collect_securities x --value-serializer yaml", "--value-serializer", '"yaml"', "json",
          "raw", "binary"),
    usage("misspelt codec", "send collect_securities x --value-serializer jsno", 'did you mean "json"'),
    usage("unknown codec of the key", "send collect_securities x -k a --key-serializer nope", "--key-serializer",
          '"nope"', "raw"),
    usage("chain that ends in nothing", "send collect_securities x --value-serializer json|", "--value-serializer",
          "json|"),
    usage("a value for json that is not JSON", ["send", "collect_securities", "{", "--value-serializer", "json"],
          "JSON"),
    usage("unknown model of the value", "send @collect_security_overview {} -V Nope", "--value-type", "Nope"),
    usage("value that is not of its model",
          ["send", "@collect_security_overview", '{"symbol":1}', "-V", "CollectSecurityOverview"], "symbol",
          "expected a string", "found 1"),
    usage("value of a model that is not JSON",
          ["send", "@collect_security_overview", "{", "-V", "CollectSecurityOverview"], "CollectSecurityOverview",
          "JSON"),
    usage("zero repetitions", "send @collect_securities --repeat 0", "--repeat", "1"),
    usage("latencies the wrong way round", "send @collect_securities --min-latency 2 --max-latency 1", "--max-latency",
          "--min-latency"),
    usage("topic: unknown", "topic nope", "nope", "horton topics"),
    usage("topic: misspelt", "topic collect_security_overviw", 'did you mean "collect_security_overview"'),
    usage("topic: bad --from", "topic collect_securities --from yesterday", "--from", "yesterday", "start",
          "2026-01-02T03:04:05Z"),
    usage("topic: --from a day that does not exist", "topic collect_securities --from 2026-13-45T00:00:00Z", "--from",
          "2026-13-45"),
    usage("topic: --from no number", "topic collect_securities --from=-x", "--from", "-x"),
    usage("topic: bad partition", "topic collect_securities --partition 9", "0 to 7", "9"),
    usage("topic: limit below zero", "topic collect_securities --limit -1", "--limit"),
    usage("dlq: misspelt action", "dlq lst", "lst", 'did you mean "list"'),
    usage("dlq: no agent", "dlq show", "agent"),
    usage("dlq: no number", "dlq show collect_security_overview", "number", "dlq list"),
    usage("dlq: number is not a number", "dlq show collect_security_overview x", "NUMBER", '"x"'),
    usage("dlq: number that does not exist", "dlq show collect_security_overview 999", "999", "dlq list"),
    usage("dlq: replay neither one nor all", "dlq replay collect_security_overview", "number", "--all"),
    usage("dlq: unknown agent", "dlq drop nope --all", '"nope"', "dlq list"),
    usage("dlq: misspelt agent", "dlq replay collect_securites 1", 'did you mean "collect_securities"'),
    failure("unknown security", "security NOPE", "NOPE", "horton securities"),
    failure("collect an unlisted security", "collect --symbol NOPE", "NOPE", "start-collect-securities", "--exchange"),
    failure("a record of 20 MB",
            ["send", "collect_security_overview", "x" * 100_000, "--partition", "0", "--value-serializer",
             "|".join(["binary"] * 19)],
            "collect_security_overview/0", "too large", "16777216"),
]

# Values for the topic collect_security_overview, and parts of the dead letter's reason.
RECORDS = [
    ("broken JSON", "{", ["the JSON is broken"]),
    ("0 bytes", "", ["empty"]),
    ("null", "null", ["expected an object", "null"]),
    ("a list", "[]", ["expected an object", "array"]),
    ("a number", "5", ["expected an object", "5"]),
    ("a text", '"text"', ["expected an object", "text"]),
    ("no JSON at all", "hello", ["expected an object", "hello"]),
    ("wrong type", '{"symbol":1,"exchange":"X"}', ["symbol", "expected a string", "found 1"]),
    ("null in a field", '{"symbol":null,"exchange":"X"}', ["symbol", "expected a string", "null"]),
    ("list in a field", '{"symbol":["A"],"exchange":"X"}', ["symbol", "expected a string"]),
    ("missing field", '{"symbol":"A"}', ["exchange", "missing"]),
    ("field twice", '{"symbol":"A","symbol":"B","exchange":"X"}', ["symbol", "twice"]),
    ("trailing bytes", '{"symbol":"A","exchange":"X"} x', ["JSON", "follows"]),
    ("bad UTF-8", b'{"symbol":"\xff","exchange":"X"}', ["UTF-8"]),
    ("too deep", '{"symbol":' + "[" * 5000 + "]" * 5000 + "}", ["symbol"]),
]


class WithWorker(BadInput):
    """Bad commands and records while a worker runs, which continues."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.config(cls.start_market(), "broker_commit_interval: 50ms\n")
        cls.worker = cls.start_worker()

    def try_command(self, case):
        self.check_message(self.horton(*case.args), case.code, case.says)
        self.assertIsNone(self.worker.child.poll(), "the worker ended")

    def dead_letter_of(self, topic, partition, offset):
        letters = json.loads(self.horton("--json", "dlq", "list").stdout)
        return next((one for one in letters if one["from"] == f"{topic}/{partition}@{offset}"), None)

    def check_dead_letter(self, sent, says, good):
        """The worker logs one line, there is one dead letter with the reason, and the next record of the same partition
        is processed."""
        self.assertEqual(sent.returncode, 0, sent.stderr)
        place = json.loads(sent.stdout)
        topic, partition, offset = place["topic"], place["partition"], place["offset"]
        after = self.horton("send", topic, good, "--partition", partition)
        self.assertEqual(after.returncode, 0, after.stderr)
        where = re.escape(f"{topic}/{partition}@{offset}")
        line = self.worker.wait_for(rf"^.* \| ERROR +\| .* {where}: .*$").group(0)
        for word in [*says, f"{topic}-dlq", f"horton dlq list {topic}"]:
            self.assertIn(word, line)
        self.assertLess(len(line), 700)
        letter = wait_for(lambda: self.dead_letter_of(topic, partition, offset), f"a dead letter of {where}")
        for word in says:
            self.assertIn(word, letter["reason"])
        self.assertEqual(len(re.findall(rf"^.* \| ERROR +\| .* {where}: ", self.worker.stderr, re.MULTILINE)), 1)
        self.assertIsNone(STACK_TRACE.search(self.worker.stderr))
        done = json.loads(after.stdout)["offset"] + 1
        wait_for(lambda: any((row["topic"], row["partition"], row["committed"]) == (topic, partition, done)
                             for row in json.loads(self.horton("--json", "lag").stdout)),
                 lambda: f"the good record after {where} to be committed:\n{self.worker.stderr[-2000:]}")

    def try_record(self, row):
        _, value, says = row
        value = os.fsdecode(value) if isinstance(value, bytes) else value
        self.check_dead_letter(self.horton("send", "collect_security_overview", value, "--partition", 3), says,
                               '{"symbol":"IBM","exchange":"NYSE"}')

    def test_a_record_neither_forges_a_line_of_the_log_nor_reaches_the_terminal(self):
        forged = "x\x1b[2J\n2026-01-01 00:00:00.000 | CRITICAL | forged:line:1 - \u009b31m\u202e\x7f"
        for value in (json.dumps({"symbol": forged, "exchange": "X"}), json.dumps({"symbol": forged}), forged):
            sent = self.horton("send", "collect_security_overview", value, "-k", forged, "--partition", 6)
            self.assertEqual(sent.returncode, 0, sent)
        self.check_dead_letter(self.horton("send", "collect_security_overview", "{", "--partition", 6), ["the JSON is broken"],
                               '{"symbol":"IBM","exchange":"NYSE"}')
        for text in (self.worker.stderr, self.horton("dlq", "list").stdout,
                     self.horton("topic", "collect_security_overview", "-n", 0).stdout, self.horton("why").stdout):
            self.assertIsNone(re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", text), text)
        for line in self.worker.stderr.splitlines():
            # the last alternative: the table of partitions
            self.assertRegex(line, r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} \| |[┌│├└])")
            self.assertNotIn("| forged", line[:60])
        kept = [row for row in json.loads(self.horton("topic", "collect_security_overview", "-n", 0, "--json").stdout)
                if row["partition"] == 6]
        self.assertEqual((kept[0]["key"], kept[0]["value"]["symbol"]), (forged, forged))

    def test_10_mb_of_garbage_become_a_dead_letter(self):
        sent = self.horton("send", "collect_security_overview", "x" * 100_000, "--partition", 3, "--value-serializer",
                           "|".join(["binary"] * 16))
        self.check_dead_letter(sent, ["expected an object"], '{"symbol":"IBM","exchange":"NYSE"}')

    def test_broken_json_for_the_listing(self):
        self.check_dead_letter(self.horton("send", "collect_securities", "{", "--partition", 2), ["the JSON is broken"],
                               "null")

    def test_the_bytes_of_a_dead_letter_are_kept(self):
        sent = json.loads(self.horton("send", "collect_security_overview", '{"symbol":42}', "--partition", 5).stdout)
        letter = wait_for(lambda: self.dead_letter_of("collect_security_overview", 5, sent["offset"]),
                          "the dead letter")
        shown = self.horton("dlq", "show", "collect_security_overview", letter["number"])
        self.assertEqual(shown.returncode, 0, shown.stderr)
        self.assertIn('{"symbol":42}', shown.stdout)


add_tests(WithWorker, ON_A_LOG, WithWorker.try_command)
add_tests(WithWorker, [("record: " + name, *rest) for name, *rest in RECORDS], WithWorker.try_record)


if __name__ == "__main__":
    unittest.main()
