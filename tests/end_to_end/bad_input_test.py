"""Bad inputs through the real command line and topics: each gets one clear message that says what, where and what to do; the rest goes on."""
import concurrent.futures
import dataclasses
import glob
import http.server
import json
import os
import re
import socket
import threading
import unittest

from support import HORTON, LIBHORTON, LIMIT, MEPHISTO, STACK_TRACE, Scene, run, wait_for

USAGE, FAILED = 2, 1


@dataclasses.dataclass
class Case:
    name: str
    args: list
    code: int
    says: list  # keywords of the one message
    config: object = None  # config.yml, text or bytes
    env: dict = dataclasses.field(default_factory=dict)
    files: dict = dataclasses.field(default_factory=dict)  # path: text, bytes, or None for a folder
    program: str = HORTON
    user: int = None
    limit: float = LIMIT


def usage(name, args, *says, **how):
    return Case(name, args.split() if isinstance(args, str) else args, USAGE, list(says), **how)


def failure(name, args, *says, **how):
    return Case(name, args.split() if isinstance(args, str) else args, FAILED, list(says), **how)


COMMAND_LINE = [
    usage("unknown command", "frobnicate", "no command", "frobnicate"),
    usage("misspelt command", "workr", "workr", 'did you mean "worker"'),
    usage("swapped letters in a short command", "sned @collect_securities", "sned", 'did you mean "send"'),
    usage("command in capitals", "AGENTS", "AGENTS", 'did you mean "agents"'),
    usage("unknown short option", "-x agents", "no option -x"),
    usage("misspelt global option", "--jsno agents", "--jsno", 'did you mean "--json"'),
    usage("misspelt option of a command", "send @collect_securities --partitoin 1", "--partitoin", 'did you mean "--partition"'),
    usage("one argument too many", "agents extra", "extra", "too many"),
    usage("control characters are shown, not sent to the terminal", ["\x1b[31mred"], "\\x1b"),
    usage("security without symbol", "security", "SYMBOL", "required"),
    usage("collect without symbol", "collect", "--symbol", "required"),
    usage("send without entity", "send", "ENTITY", "required"),
    usage("topic without name", "topic", "NAME", "required"),
    usage("dlq without action", "dlq", "ACTION", "required"),
    usage("model without name", "model", "NAME", "required"),
    usage("option without its value", "agents -l", "--loglevel", "value"),
    usage("limit is no number", "securities --limit many", "--limit", '"many"', "number"),
    usage("limit below zero", "securities --limit -1", "--limit", "from 0"),
    usage("timeout is no number", "collect --symbol A --timeout soon", "--timeout", '"soon"', "number"),
    usage("timeout below zero", "collect --symbol A --exchange X --timeout -1", "--timeout"),
    usage("shards is no number", "worker --shards two", "--shards", '"two"', "number"),
    usage("shards below zero", "worker --shards -1", "--shards", '"-1"'),
    usage("shards overflow", "worker --shards 999999999999", "--shards", "999999999999"),
    usage("web pages that there are not", "worker --with-web", "web", "--with-web"),
    usage("log level", "-l loud agents", "--loglevel", "loud", "debug", "crit"),
    usage("completion of an unknown shell", "completion powershell", "powershell", "bash", "zsh", "fish"),
    usage("unknown model", "model Nope", "Nope", "models"),
    usage("misspelt model", "model CollectSecurityOvervew", 'did you mean "CollectSecurityOverview"'),
    usage("workdir missing", "-W nowhere agents", "--workdir", "nowhere", "No such"),
    failure("logfile in a missing folder", "-f nowhere/x.log agents", "nowhere/x.log", "No such", "--logfile"),
    failure("logfile is a folder", "-f folder agents", "folder", "directory", "--logfile", files={"folder": None}),
    usage("config file missing", "--config nope.yml config", "nope.yml", "cannot read"),
    usage("config file is a folder", "--config folder config", "folder", "directory", files={"folder": None}),
    usage("--set without =", "--set foo config", "--set foo", "NAME=VALUE"),
    usage("--set without a name", ["--set", "=x", "config"], "--set", "no setting"),
    usage("--set of a misspelt setting", "--set topic_partition=3 config", 'did you mean "topic_partitions"'),
    usage("--set of a wrong type", "--set topic_partitions=many config", "topic_partitions", '"many"', "number"),
    usage("more shards than a machine can have", "--set shards=100000 worker -q", "shards", "100000"),
    usage("no partitions", "--set topic_partitions=0 worker -q -l error", "topic_partitions", "0", "4096"),
    usage("too many partitions", "--set topic_partitions=100000 worker -q -l error", "topic_partitions", "100000", "4096"),
    usage("log URL without scheme", "--log foo topics", "foo", "local://"),
    usage("log of an unknown kind", "--log redis://localhost topics", "redis", "local://"),
    usage("log of a misspelt kind", "--log loca://x topics", "loca", 'did you mean "local"'),
    usage("log without folder", "--log local:// topics", "local://", "names no folder"),
    usage("commands on memory://", "--log memory:// topics", "memory://", "local://"),
    usage("send to memory://", "--log memory:// send @collect_securities", "memory://", "local://"),
]

MARKET = [
    usage("port is no number", "market --port http", "--port", '"http"'),
    usage("port too large", "market --port 99999", "--port", "99999", "65535"),
    usage("share above one", "market --port 0 --quota 2", "0 to 1"),
    usage("share is not a number", "market --port 0 --fail nan", "0 to 1"),
    usage("negative count of calls", "market --port 0 --every -1", "--every"),
    usage("negative delay", "market --port 0 --slow-ms -5", "--slow-ms"),
    failure("data missing", "market --port 0 --data nowhere", "nowhere", "cannot read", "--data"),
    failure("data that is broken JSON", "market --port 0 --data data", "overview.jsonl", ":1",
            files={"data/listing_status.csv": "symbol,name,exchange,assetType,ipoDate,delistingDate,status\r\n", "data/overview.jsonl": "{nope\n"}),
    failure("address that is none", "market --port 0 --bind nowhere", "nowhere", "address"),
]


def config(name, text, *says):
    return usage("config.yml: " + name, "config", "config.yml", *says, config=text)


CONFIG = [
    config("a tab", "service:\n\tapikey: k\n", "config.yml:2", "tab"),
    config("unknown key", "nonsense: 1\n", "config.yml:1", "nonsense", "horton config"),
    config("misspelt section", "servce:\n  apikey: k\n", "config.yml:2", 'did you mean "service.apikey"'),
    config("bad rate", "service:\n  rate: fast\n", "config.yml:2", "service.rate", '"fast"', "1/s,25/d"),
    config("rate of zero", "service:\n  rate: 0/s\n", "service.rate", '"0/s"', "75/min"),
    config("rate of an unknown unit", "service:\n  rate: 1/fortnight\n", "service.rate", "1/fortnight"),
    config("URL without scheme", "service:\n  apiendpoint: nope\n", "config.yml:2", "service.apiendpoint", '"nope"', "https://"),
    config("URL of a wrong scheme", "service:\n  apiendpoint: ftp://x/\n", "service.apiendpoint", "ftp://x/", "https://"),
    config("URL without host", "service:\n  apiendpoint: 'http://'\n", "service.apiendpoint", "http://", "host"),
    config("bad duration", "service:\n  deadline: soon\n", "service.deadline", '"soon"', "250ms"),
    config("negative duration", "drain_timeout: -1s\n", "drain_timeout", '"-1s"'),
    config("bad size", "memory_budget: lots\n", "memory_budget", '"lots"', "64MiB"),
    config("size of zero", "memory_budget: 0\n", "memory_budget", '"0"'),
    config("bad flag", "topic_allow_declare: perhaps\n", "topic_allow_declare", '"perhaps"', "true"),
    config("misspelt choice", "processing_guarantee: exactly_onec\n", "processing_guarantee", 'did you mean "exactly_once"'),
    config("negative number", "shards: -3\n", "shards", '"-3"'),
    config("number with a fraction", "shards: 2.5\n", "shards", '"2.5"'),
    config("number left out", "shards:\n", "shards", '""'),
    config("concurrency of zero", "service:\n  concurrency: 0\n", "service.concurrency", "0"),
    config("list where a number belongs", "topic_partitions: [1, 2]\n", "topic_partitions", "number"),
    config("list where a text belongs", "datadir: [a, b]\n", "config.yml:1", "datadir", "list"),
    config("list in a list", "datadir: [[a], b]\n", "datadir", "list"),
    config("section where a value belongs", "datadir: {a: b}\n", "config.yml:1", "datadir.a", 'did you mean "datadir"'),
    config("value where a section belongs", "service: 5\n", "config.yml:1", '"service"', "section"),
    config("a list at the top", "- a\n- b\n", "name: value"),
    config("a text at the top", "just text\n", "name: value"),
    config("not closed", "service: {rate: 1/s\n", "config.yml:2"),
    config("two colons", "a: b: c\n", "config.yml:1"),
    config("one key twice", "datadir: a\ndatadir: b\n", "config.yml:2", "datadir", "twice"),
    config("binary", b"\x80\x00\x01\xfe\xff", "config.yml"),
    config("unknown alias", "datadir: *x\n", "config.yml:1", "anchor"),
    usage("environment: number", "config", "HORTON_SHARDS", '"many"', "number", env={"HORTON_SHARDS": "many"}),
    usage("environment: rate", "topics", "HORTON_SERVICE_RATE", '"1/x"', "1/s,25/d", env={"HORTON_SERVICE_RATE": "1/x"}),
    usage("environment: duration", "config", "HORTON_SERVICE_DEADLINE", '"x"', "250ms", env={"HORTON_SERVICE_DEADLINE": "x"}),
    usage("environment: URL", "config", "HORTON_SERVICE_APIENDPOINT", '"nope"', "https://", env={"HORTON_SERVICE_APIENDPOINT": "nope"}),
    usage("environment: size", "config", "HORTON_MEMORY_BUDGET", '"-1"', "64MiB", env={"HORTON_MEMORY_BUDGET": "-1"}),
    usage("environment: log", "topics", "ftp", "local://", env={"HORTON_BROKER": "ftp://x"}),
]

NOBODY = 65534
AS_NOBODY = {"user": NOBODY}
PLACES = [
    failure("datadir is a file", "-D file securities", "file", "Not a directory", files={"file": "x"}),
    failure("worker: datadir is a file", "-D file worker -q -l error", "file", "Not a directory", "datadir", files={"file": "x"}),
    failure("log folder is a file", "--log local://file topics", "file", "Not a directory", "local://FOLDER", files={"file": "x"}),
    failure("log folder holds random data", "--log local://log topics", "log", "data.mdb", files={"log/data.mdb": bytes(range(256)) * 400}),
    failure("log folder holds a short text", "--log local://log topics", "log", "data.mdb", files={"log/data.mdb": "hello\n"}),
    failure("data.mdb is a folder", "--log local://log topics", "log", "directory", files={"log/data.mdb": None}),
    failure("worker: log folder holds random data", "--log local://log worker -q -l error", "log", "data.mdb", files={"log/data.mdb": bytes(range(256)) * 400}),
    failure("log folder cannot be made", "--log local:///proc/nope topics", "/proc/nope", "cannot create"),
    failure("documents are no database", "--set documents=file.db securities", "file.db", "not a database", files={"file.db": "x" * 4096}),
    failure("documents are a folder", "--set documents=folder securities", "folder", "cannot open", files={"folder": None}),
    failure("log folder not writable", "--log local://log topics", "log", "Permission denied", "rights", files={"log": None}, **AS_NOBODY),
    failure("data folder not writable", "send @collect_securities", "horton-data", "Permission denied", **AS_NOBODY),
    failure("worker: data folder not writable", "worker -q -l error", "horton-data", "Permission denied", "datadir", **AS_NOBODY),
    failure("documents not writable", "--log local:///tmp/mephisto-{pid}-log --set documents=folder/d.db securities", "folder/d.db", "rights", files={"folder": None}, **AS_NOBODY),
    failure("log file not writable", "-f x.log agents", "x.log", "Permission denied", "--logfile", **AS_NOBODY),
    usage("config.yml not readable", "config", "config.yml", "cannot read", config="shards: 1\n", **AS_NOBODY),
]


def tool(name, args, *says, **how):
    return usage("mephisto: " + name, args, *says, program=MEPHISTO, **how)


NEED_APP = "Need to specify app using -A parameter"
ANY_LIBRARY = next(iter(sorted(glob.glob("/lib/*/libz.so.1") + glob.glob("/usr/lib/*/libz.so.1") + glob.glob("/lib/*/libm.so.6"))), "")
TOOL = [
    *[tool(f"{command} without -A", command, NEED_APP) for command in ("agents", "worker", "models", "tables", "reset", "livecheck", "clean-versions", "config")],
    tool("a log given, still without -A", "--log local://log worker", NEED_APP),
    tool("a command that only an app can have", "start-collect-securities", "start-collect-securities", "-A"),
    tool("-A without value", "-A", "-A needs"),
    tool("--app without value", "--app= agents", "--app", "needs"),
    tool("-A missing file", "-A nope.so agents", "-A nope.so", "No such file"),
    tool("-A no library", "-A ./file agents", "-A ./file", "cannot be loaded", files={"file": "x"}),
    tool("-A a folder", "-A ./folder agents", "-A ./folder", "cannot be loaded", files={"folder": None}),
    tool("-A library without the symbol", ["-A", ANY_LIBRARY, "agents"], ANY_LIBRARY, "mephisto_main"),
    tool("unknown command", "frobnicate", "frobnicate"),
    tool("misspelt command", "topcs", 'did you mean "topics"'),
    tool("bad command of an app", ["-A", LIBHORTON, "workr"], "workr", 'did you mean "worker"'),
    tool("unknown log", "--log ftp://x topics", "ftp", "local://"),
    tool("agent without app", "--log local://log send @collect_securities", "collect_securities", "-A"),
    tool("unknown topic", "--log local://log send nope", "nope"),
]

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
    usage("partition is no number", "send collect_securities --partition one", "--partition", '"one"'),
    usage("unknown codec", "send collect_securities x --value-serializer yaml", "--value-serializer", '"yaml"', "json", "raw", "binary"),
    usage("misspelt codec", "send collect_securities x --value-serializer jsno", 'did you mean "json"'),
    usage("unknown codec of the key", "send collect_securities x -k a --key-serializer nope", "--key-serializer", '"nope"', "raw"),
    usage("chain that ends in nothing", "send collect_securities x --value-serializer json|", "--value-serializer", "json|"),
    usage("a value that is no JSON for json", ["send", "collect_securities", "{", "--value-serializer", "json"], "JSON"),
    usage("unknown model of the value", "send @collect_security_overview {} -V Nope", "--value-type", "Nope"),
    usage("value that is not of its model", ["send", "@collect_security_overview", '{"symbol":1}', "-V", "CollectSecurityOverview"], "symbol", "expected a string", "found 1"),
    usage("value of a model that is no JSON", ["send", "@collect_security_overview", "{", "-V", "CollectSecurityOverview"], "CollectSecurityOverview", "JSON"),
    usage("zero repetitions", "send @collect_securities --repeat 0", "--repeat", "1"),
    usage("latencies the wrong way round", "send @collect_securities --min-latency 2 --max-latency 1", "--max-latency", "--min-latency"),
    usage("topic: unknown", "topic nope", "nope", "horton topics"),
    usage("topic: misspelt", "topic collect_security_overviw", 'did you mean "collect_security_overview"'),
    usage("topic: bad --from", "topic collect_securities --from yesterday", "--from", "yesterday", "start", "2026-01-02T03:04:05Z"),
    usage("topic: --from a day that there is not", "topic collect_securities --from 2026-13-45T00:00:00Z", "--from", "2026-13-45"),
    usage("topic: --from below zero", "topic collect_securities --from -5", "--from", "-5"),
    usage("topic: bad partition", "topic collect_securities --partition 9", "0 to 7", "9"),
    usage("topic: limit below zero", "topic collect_securities --limit -1", "--limit"),
    usage("dlq: misspelt action", "dlq lst", "lst", 'did you mean "list"'),
    usage("dlq: no agent", "dlq show", "agent"),
    usage("dlq: no number", "dlq show collect_security_overview", "number", "dlq list"),
    usage("dlq: number is none", "dlq show collect_security_overview x", "NUMBER", '"x"'),
    usage("dlq: number that there is not", "dlq show collect_security_overview 999", "999", "dlq list"),
    usage("dlq: replay neither one nor all", "dlq replay collect_security_overview", "number", "--all"),
    usage("dlq: unknown agent", "dlq drop nope --all", '"nope"', "dlq list"),
    usage("dlq: misspelt agent", "dlq replay collect_securites 1", 'did you mean "collect_securities"'),
    failure("unknown security", "security NOPE", "NOPE", "horton securities"),
    failure("collect what is not listed", "collect --symbol NOPE", "NOPE", "start-collect-securities", "--exchange"),
    failure("a record of 20 MB", ["send", "collect_security_overview", "x" * 100_000, "--partition", "0", "--value-serializer", "|".join(["binary"] * 19)],
            "collect_security_overview/0", "too large", "16777216"),
]

# Values for the topic collect_security_overview, and what the dead letter's reason says.
RECORDS = [
    ("broken JSON", "{", ["broken JSON"]),
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
SERVER = [
    ("HTML", "HTML", ["no JSON object", "<html>"]),
    ("binary", "BINARY", ["no JSON object"]),
    ("an empty reply", "EMPTY", ["no JSON object"]),
    ("a list", "LIST", ["no JSON object"]),
    ("an error message", "ERROR", ["refused", "Invalid API call"]),
    ("no symbol in it", "OTHER", ["names no symbol"]),
    ("404", "404", ["status 404"]),
    ("always 500", "500", ["500"]),
    ("a cut body", "CUT", ["cut off"]),
    ("no HTTP", "NOHTTP", ["cannot get http://127.0.0.1"]),
    ("nothing, and hangs", "HANG", ["within 300 ms"]),
]
LISTINGS = [
    ("HTML", b"<html><body>502</body></html>", ["listing"]),
    ("empty", b"", ["listing is empty"]),
    ("other columns", b"a,b,c\r\n1,2,3\r\n", ['"a"', "symbol"]),
    ("a row too short", b"symbol,name,exchange\r\nA,B\r\n", ["row 2", "2 fields", "not 3"]),
    ("a quote that is not closed", b'symbol,name,exchange\r\nA,"B,C\r\n', ["CSV", "row"]),
    ("binary", bytes(range(256)), ["listing"]),
]
COUNT = sum(map(len, (COMMAND_LINE, MARKET, CONFIG, PLACES, TOOL, ON_A_LOG, RECORDS, SERVER, LISTINGS)))


class BadInput(Scene):
    def check_message(self, got, code, says):
        detail = f"\n$ {got.args}\nexit code {got.returncode}\nstdout: {got.stdout[:400]}\nstderr: {got.stderr[:1500]}"
        detail = re.sub(r"x{300,}", "xxx…", detail)
        lines = got.stderr.splitlines()
        errors = [line for line in lines if line.startswith("Error: ")]
        problems = []
        if got.returncode != code:
            problems.append(f"exit code {got.returncode}, not {code}")
        if len(errors) != 1 or [line for line in lines if not line.startswith(("Error: ", "Try: "))] or len(lines) > 2:
            problems.append("not one `Error:` line and at most one `Try:` line")
        problems += [f"does not say {word!r}" for word in says if word not in "\n".join(errors)]
        if STACK_TRACE.search(got.stderr):
            problems.append("looks like a stack trace or the text of a library's exception")
        if len(errors) == 1 and len(errors[0]) > 500:
            problems.append("the message is too long to read")
        if got.stdout:
            problems.append("something on standard output")
        self.assertFalse(problems, detail)

    def try_case(self, case):
        folder = self.folder / re.sub(r"[^A-Za-z0-9]+", "-", case.name)
        folder.mkdir()
        if case.config is not None:
            case.files = {**case.files, "config.yml": case.config}
        for path, content in case.files.items():
            if content is None:
                (folder / path).mkdir(parents=True)
                continue
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content.encode() if isinstance(content, str) else content)
            (folder / path).chmod(0o600)
        if case.user is not None:
            if os.getuid() != 0:
                self.skipTest("needs root to run as somebody without rights")
            self.folder.chmod(0o755)
        args = [word.replace("{pid}", str(os.getpid())) for word in case.args]
        self.check_message(run(case.program, *args, folder=folder, env=case.env, user=case.user, limit=case.limit), case.code, case.says)


def add_tests(test_class, cases, method=BadInput.try_case):
    """A test method for each row of a table."""
    for number, row in enumerate(cases):
        name = row.name if isinstance(row, Case) else row[0]

        def test(self, row=row):
            method(self, row)
        test.__doc__ = name
        setattr(test_class, f"test_{number:02}_{re.sub('[^a-z0-9]+', '_', name.lower()).strip('_')}", test)


class CommandLine(BadInput):
    def test_sentences_are_told_apart(self):
        self.assertNotRegex(self.horton("model", "Nope").stderr, '" [A-Z]')

    def test_there_are_enough_of_them(self):
        self.assertGreaterEqual(COUNT, 85)


class Market(BadInput):
    def test_port_taken(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            self.check_message(self.horton("market", "--port", port), FAILED, [f"127.0.0.1:{port}", "in use", "another port"])


class Config(BadInput):
    pass


class Places(BadInput):
    @classmethod
    def tearDownClass(cls):
        run("rm", "-rf", f"/tmp/mephisto-{os.getpid()}-log", folder="/")


class Tool(BadInput):
    pass


class WithWorker(BadInput):
    """Bad commands and records while a worker runs, which goes on."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.config(cls.start_market())
        cls.worker = cls.start_worker()

    def try_command(self, case):
        self.check_message(self.horton(*case.args), case.code, case.says)
        self.assertIsNone(self.worker.child.poll(), "the worker ended")

    def dead_letter_of(self, topic, partition, offset):
        letters = json.loads(self.horton("--json", "dlq", "list").stdout)
        return next((one for one in letters if one["from"] == f"{topic}/{partition}@{offset}"), None)

    def check_dead_letter(self, sent, says, good):
        """One line in the worker's log, one dead letter with the reason, and the good record behind it in the same partition is done."""
        self.assertEqual(sent.returncode, 0, sent.stderr)
        place = json.loads(sent.stdout)
        topic, partition, offset = place["topic"], place["partition"], place["offset"]
        after = self.horton("send", topic, good, "--partition", partition)
        self.assertEqual(after.returncode, 0, after.stderr)
        where = re.escape(f"{topic}/{partition}@{offset}")
        line = self.worker.wait_for(rf"^.* \| ERROR +\| .* {where}: .*$").group(0)
        for word in [*says, f"{topic}-dlq", "horton dlq show"]:
            self.assertIn(word, line)
        self.assertLess(len(line), 700)
        letter = wait_for(lambda: self.dead_letter_of(topic, partition, offset), f"a dead letter of {where}")
        for word in says:
            self.assertIn(word, letter["reason"])
        self.assertEqual(len(re.findall(rf"^.* \| ERROR +\| .* {where}: ", self.worker.stderr, re.MULTILINE)), 1)
        self.assertIsNone(STACK_TRACE.search(self.worker.stderr))
        done = json.loads(after.stdout)["offset"] + 1
        wait_for(lambda: any((row["topic"], row["partition"], row["committed"]) == (topic, partition, done) for row in json.loads(self.horton("--json", "lag").stdout)),
                 lambda: f"the good record behind {where} to be committed:\n{self.worker.stderr[-2000:]}")

    def try_record(self, row):
        _, value, says = row
        value = os.fsdecode(value) if isinstance(value, bytes) else value
        self.check_dead_letter(self.horton("send", "collect_security_overview", value, "--partition", 3), says, '{"symbol":"IBM","exchange":"NYSE"}')

    def test_10_mb_of_garbage_become_a_dead_letter(self):
        sent = self.horton("send", "collect_security_overview", "x" * 100_000, "--partition", 3, "--value-serializer", "|".join(["binary"] * 16))
        self.check_dead_letter(sent, ["expected an object"], '{"symbol":"IBM","exchange":"NYSE"}')

    def test_broken_json_for_the_listing(self):
        self.check_dead_letter(self.horton("send", "collect_securities", "{", "--partition", 2), ["broken JSON"], "null")

    def test_the_bytes_of_a_dead_letter_are_kept(self):
        sent = json.loads(self.horton("send", "collect_security_overview", '{"symbol":42}', "--partition", 5).stdout)
        letter = wait_for(lambda: self.dead_letter_of("collect_security_overview", 5, sent["offset"]), "the dead letter")
        shown = self.horton("dlq", "show", "collect_security_overview", letter["number"])
        self.assertEqual(shown.returncode, 0, shown.stderr)
        self.assertIn('{"symbol":42}', shown.stdout)


class BadServer(http.server.BaseHTTPRequestHandler):
    """Answers as the symbol asks for; the listing as the test says."""
    listing = b""
    released = threading.Event()

    def log_message(self, *_):
        pass

    def do_GET(self):
        symbol = re.search(r"symbol=(\w+)", self.path)
        kind = symbol.group(1) if symbol else "LISTING"
        status = int(kind) if kind.isdigit() else 200
        body = {"LISTING": BadServer.listing, "HTML": b"<html><body>Bad Gateway</body></html>", "BINARY": bytes(range(256)), "EMPTY": b"", "LIST": b"[1, 2]",
                "ERROR": b'{"Error Message": "Invalid API call."}', "OTHER": b'{"Name": "somebody"}', "CUT": b'{"Symbol": "C'}.get(kind, b'{"Symbol": "%s"}' % kind.encode())
        if kind == "HANG":
            BadServer.released.wait(60)
        if kind == "NOHTTP":
            self.wfile.write(b"\x00\x01 this is no HTTP\r\n\r\n")
            self.close_connection = True
            return
        try:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body) + (100 if kind == "CUT" else 0)))
            self.end_headers()
            self.wfile.write(body)
        except OSError:
            pass  # the client gave up
        self.close_connection = kind == "CUT"


class Server(BadInput):
    """A server that misbehaves: who asked hears why, and the good symbol is still collected."""
    PATIENCE = 75  # the worker tries again for a while

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), BadServer)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        cls.addClassCleanup(server.server_close)
        cls.addClassCleanup(server.shutdown)
        cls.addClassCleanup(BadServer.released.set)
        cls.config(f"http://127.0.0.1:{server.server_address[1]}/", "  deadline: 300ms\n  concurrency: 32\n")
        cls.refused = cls.folder / "refused"
        cls.refused.mkdir()
        with socket.create_server(("127.0.0.1", 0)) as free:
            cls.config(f"http://127.0.0.1:{free.getsockname()[1]}/", folder=cls.refused)
        cls.worker = cls.start_worker()
        cls.start_worker(folder=cls.refused)

        def collect(symbol, folder):
            return run(HORTON, "collect", "--symbol", symbol, "--exchange", "X", "--timeout", "60", folder=folder, limit=cls.PATIENCE)
        # All at once: what they wait for is mostly the pauses between attempts.
        with concurrent.futures.ThreadPoolExecutor(len(SERVER) + 2) as pool:
            started = {symbol: pool.submit(collect, symbol, cls.folder) for _, symbol, _ in SERVER}
            started["GOOD"] = pool.submit(collect, "GOOD", cls.folder)
            started["REFUSED"] = pool.submit(collect, "REFUSED", cls.refused)
            cls.results = {symbol: one.result() for symbol, one in started.items()}

    def try_answer(self, row):
        _, symbol, says = row
        self.check_message(self.results[symbol], FAILED, says)

    def test_a_server_that_refuses(self):
        self.check_message(self.results["REFUSED"], FAILED, ["cannot get http://127.0.0.1", "connection refused"])

    def test_a_good_symbol_is_collected_meanwhile(self):
        self.assertEqual(self.results["GOOD"].returncode, 0, self.results["GOOD"].stderr)

    def test_the_key_is_in_no_message(self):
        self.assertNotIn("not-to-be-shown", self.worker.stderr + "".join(one.stderr for one in self.results.values()))

    def try_listing(self, row):
        _, body, says = row
        BadServer.listing = body
        sent = self.horton("send", "@collect_securities")
        self.assertEqual(sent.returncode, 0, sent.stderr)
        place = json.loads(sent.stdout)
        where = re.escape(f"collect_securities/{place['partition']}@{place['offset']}")
        line = self.worker.wait_for(rf"^.* \| ERROR +\| .* {where}: .*$").group(0)
        for word in [*says, "horton dlq show"]:
            self.assertIn(word, line)
        self.assertIsNone(STACK_TRACE.search(line))
        # Garbage listed nothing.
        self.assertEqual(json.loads(self.horton("--json", "securities", "--exchange", "B").stdout), [])


add_tests(CommandLine, COMMAND_LINE)
add_tests(Market, MARKET)
add_tests(Config, CONFIG)
add_tests(Places, PLACES)
add_tests(Tool, TOOL)
add_tests(WithWorker, ON_A_LOG, WithWorker.try_command)
add_tests(WithWorker, [("record: " + name, *rest) for name, *rest in RECORDS], WithWorker.try_record)
add_tests(Server, SERVER, Server.try_answer)
add_tests(Server, [("listing: " + name, *rest) for name, *rest in LISTINGS], Server.try_listing)

if __name__ == "__main__":
    unittest.main()
