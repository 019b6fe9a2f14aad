"""Bad input through the command line, config.yml, the environment and folders."""
import glob
import os
import socket
import subprocess
import unittest

from bad_input import FAILED, BadInput, add_tests, failure, usage
from support import HORTON, LIBHORTON, LIMIT, MEPHISTO, environment, run

COMMAND_LINE = [
    usage("unknown command", "frobnicate", "no command", "frobnicate"),
    usage("misspelt command", "workr", "workr", 'did you mean "worker"'),
    usage("swapped letters in a short command", "sned @collect_securities", "sned", 'did you mean "send"'),
    usage("command in capitals", "AGENTS", "AGENTS", 'did you mean "agents"'),
    usage("unknown short option", "-x agents", "no option -x"),
    usage("misspelt global option", "--jsno agents", "--jsno", 'did you mean "--json"'),
    usage("misspelt option of a command", "send @collect_securities --partitoin 1", "--partitoin",
          'did you mean "--partition"'),
    usage("one argument too many", "agents extra", "extra", "too many"),
    usage("control characters are shown, not sent to the terminal", ["\x1b[31mred"], "\\x1b"),
    usage("security without symbol", "security", "SYMBOL", "required"),
    usage("collect without symbol", "collect", "--symbol", "required"),
    usage("send without entity", "send", "ENTITY", "required"),
    usage("topic without name", "topic", "NAME", "required"),
    usage("dlq without action", "dlq", "ACTION", "required"),
    usage("model without name", "model", "NAME", "required"),
    usage("-A, which only the general tool has", "-A x agents", "no option -A"),
    usage("value for a flag", "agents --json=x", "--json", "no value"),
    usage("only options", "--quiet", "no command"),
    usage("option without its value", "agents -l", "--loglevel", "value"),
    usage("limit is not a number", "securities --limit many", "--limit", '"many"', "number"),
    usage("limit below zero", "securities --limit -1", "--limit", "from 0", files={"horton-data/log/data.mdb": ""}),
    usage("timeout is not a number", "collect --symbol A --timeout soon", "--timeout", '"soon"', "number"),
    usage("timeout below zero", "collect --symbol A --exchange X --timeout -1", "--timeout"),
    usage("shards is not a number", "worker --shards two", "--shards", '"two"', "number"),
    usage("shards below zero", "worker --shards -1", "--shards", '"-1"'),
    usage("shards overflow", "worker --shards 999999999999", "--shards", "999999999999"),
    usage("web pages and none", "worker --with-web --without-web", "exclude each other"),
    usage("a port that is none", "worker --web-port 65536", "web_port", "65535"),
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
    usage("too many partitions", "--set topic_partitions=100000 worker -q -l error", "topic_partitions", "100000",
          "4096"),
    usage("log URL without scheme", "--log foo topics", "foo", "local://"),
    usage("log of an unknown kind", "--log redis://localhost topics", "redis", "local://"),
    usage("log of a misspelt kind", "--log loca://x topics", "loca", 'did you mean "local"'),
    usage("log without folder", "--log local:// topics", "local://", "names no folder"),
    usage("commands on memory://", "--log memory:// topics", "memory://", "local://"),
    usage("send to memory://", "--log memory:// send @collect_securities", "memory://", "local://"),
]

MARKET = [
    usage("port is not a number", "market --port http", "--port", '"http"'),
    usage("port too large", "market --port 99999", "--port", "99999", "65535"),
    usage("share above one", "market --port 0 --quota 2", "0 to 1"),
    usage("share is not a number", "market --port 0 --fail nan", "0 to 1"),
    usage("negative count of calls", "market --port 0 --every -1", "--every"),
    usage("negative delay", "market --port 0 --slow-ms -5", "--slow-ms"),
    failure("data missing", "market --port 0 --data nowhere", "nowhere", "cannot read", "--data"),
    failure("data that is broken JSON", "market --port 0 --data data", "overview.jsonl", ":1",
            files={"data/listing_status.csv": "symbol,name,exchange,assetType,ipoDate,delistingDate,status\r\n",
                   "data/overview.jsonl": "{nope\n"}),
    failure("bind address that is not an address", "market --port 0 --bind nowhere", "nowhere", "address"),
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
    config("URL without scheme", "service:\n  apiendpoint: nope\n", "config.yml:2", "service.apiendpoint", '"nope"',
           "https://"),
    config("URL of a wrong scheme", "service:\n  apiendpoint: ftp://x/\n", "service.apiendpoint", "ftp://x/",
           "https://"),
    config("URL without host", "service:\n  apiendpoint: 'http://'\n", "service.apiendpoint", "http://", "host"),
    config("bad duration", "service:\n  deadline: soon\n", "service.deadline", '"soon"', "250ms"),
    config("negative duration", "drain_timeout: -1s\n", "drain_timeout", '"-1s"'),
    config("bad size", "memory_budget: lots\n", "memory_budget", '"lots"', "64MiB"),
    config("size of zero", "memory_budget: 0\n", "memory_budget", '"0"'),
    config("bad flag", "topic_allow_declare: perhaps\n", "topic_allow_declare", '"perhaps"', "true"),
    config("misspelt choice", "processing_guarantee: exactly_onec\n", "processing_guarantee",
           'did you mean "exactly_once"'),
    config("negative number", "shards: -3\n", "shards", '"-3"'),
    config("number with a fraction", "shards: 2.5\n", "shards", '"2.5"'),
    config("number left out", "shards:\n", "shards", '""'),
    config("session timeout of zero", "broker_session_timeout: 0\n", "broker_session_timeout", '"0"',
           "at least 100 ms"),
    config("maintenance without a pause", "maintenance_interval: 0s\n", "maintenance_interval", '"0s"',
           "at least 1.0 s"),
    config("no room for a record", "stream_buffer_maxsize: 0\n", "stream_buffer_maxsize", '"0"', "from 1"),
    config("commit after zero records", "broker_commit_every: 0\n", "broker_commit_every", '"0"', "from 1"),
    config("concurrency of zero", "service:\n  concurrency: 0\n", "service.concurrency", "0"),
    config("list where a number belongs", "topic_partitions: [1, 2]\n", "topic_partitions", "number"),
    config("list where a text belongs", "datadir: [a, b]\n", "config.yml:1", "datadir", "list"),
    config("list in a list", "broker: [[a], b]\n", "broker", "list of plain values"),
    config("log of an unknown kind", "kafka:\n  servers: [pulsar://localhost:6650]\n", "config.yml:2", "pulsar",
           "local://FOLDER"),
    config("section where a value belongs", "datadir: {a: b}\n", "config.yml:1", "datadir.a", 'did you mean "datadir"'),
    config("value where a section belongs", "service: 5\n", "config.yml:1", '"service"', "section"),
    config("a list at the top", "- a\n- b\n", "name: value"),
    config("a text at the top", "just text\n", "name: value"),
    config("not closed", "service: {rate: 1/s\n", "config.yml:2"),
    config("two colons", "a: b: c\n", "config.yml:1"),
    config("one key twice", "datadir: a\ndatadir: b\n", "config.yml:2", "datadir", "twice"),
    config("binary", b"\x80\x00\x01\xfe\xff", "config.yml"),
    config("unknown alias", "datadir: *x\n", "config.yml:1", "anchor"),
    config("quote that is not closed", "service:\n  apikey: \"abc\nshards: 2\n", "config.yml:2", "quote"),
    config("second document", "shards: 2\n---\nshards: 3\n", "config.yml:3", "second document"),
    config("text after the end", "shards: 2\n...\ndatadir: x\n", "config.yml:3", "second document"),
    config("value over two lines", "datadir: a\n  b\n", "config.yml:1", "next line"),
    config("key without a colon", "shards: 2\ndatadir\n", "config.yml:2", "colon"),
    config("UTF-16", "shards: 2\n".encode("utf-16"), "config.yml", "UTF-8"),
    config("Latin-1", "datadir: caf\xe9\n".encode("latin-1"), "config.yml:1", "UTF-8"),
    config("alias that holds itself", "kafka:\n  properties: &all\n    more: *all\n", "config.yml:3", "holds itself"),
    config("merge", "service:\n  <<: {rate: 1/s}\n", "config.yml:2", "merge"),
    config("unknown tag", "shards: !!binary eA==\n", "config.yml:1", "tag"),
    config("one setting by two names", "broker: memory://a\nkafka: {servers: memory://b}\n", "config.yml:2", "twice",
           "config.yml:1"),
    usage("config without end", "--config /dev/zero config", "/dev/zero", "1 MiB"),
    usage("environment: file without end", "config", "HORTON_SERVICE_APIKEY_FILE", "1 MiB",
          env={"HORTON_SERVICE_APIKEY_FILE": "/dev/zero"}),
    usage("environment: several lines", "config", "HORTON_SERVICE_APIKEY", "more than one line",
          env={"HORTON_SERVICE_APIKEY": "abc\ndef"}),
    usage("environment: number", "config", "HORTON_SHARDS", '"many"', "number", env={"HORTON_SHARDS": "many"}),
    usage("environment: rate", "topics", "HORTON_SERVICE_RATE", '"1/x"', "1/s,25/d",
          env={"HORTON_SERVICE_RATE": "1/x"}),
    usage("environment: duration", "config", "HORTON_SERVICE_DEADLINE", '"x"', "250ms",
          env={"HORTON_SERVICE_DEADLINE": "x"}),
    usage("environment: URL", "config", "HORTON_SERVICE_APIENDPOINT", '"nope"', "https://",
          env={"HORTON_SERVICE_APIENDPOINT": "nope"}),
    usage("environment: size", "config", "HORTON_MEMORY_BUDGET", '"-1"', "64MiB", env={"HORTON_MEMORY_BUDGET": "-1"}),
    usage("environment: log", "topics", "ftp", "local://", env={"HORTON_BROKER": "ftp://x"}),
]

NOBODY = 65534
AS_NOBODY = {"user": NOBODY}
PLACES = [
    failure("datadir is a file", "-D file securities", "file", "Not a directory", files={"file": "x"}),
    failure("worker: no API key for the real service", "worker -q -l error", "service.apikey", "HORTON_SERVICE_APIKEY",
            "alphavantage.co", "horton market"),
    failure("collect: no worker, and no API key for the real service", "collect --symbol IBM --exchange NYSE",
            "service.apikey", "HORTON_SERVICE_APIKEY", "alphavantage.co",
            "horton market"),
    failure("worker: datadir is a file", "-D file worker -q -l error", "file", "Not a directory", "datadir",
            files={"file": "x"}),
    failure("log folder is a file", "--log local://file topics", "file", "Not a directory", "local://FOLDER",
            files={"file": "x"}),
    failure("log folder holds random data", "--log local://log topics", "log", "data.mdb",
            files={"log/data.mdb": bytes(range(256)) * 400}),
    failure("log folder holds a short text", "--log local://log topics", "log", "data.mdb",
            files={"log/data.mdb": "hello\n"}),
    failure("data.mdb is a folder", "--log local://log topics", "log", "directory", files={"log/data.mdb": None}),
    failure("worker: log folder holds random data", "--log local://log worker -q -l error", "log", "data.mdb",
            files={"log/data.mdb": bytes(range(256)) * 400}),
    failure("log folder cannot be made", "--log local:///proc/nope send @collect_securities", "/proc/nope",
            "cannot create"),
    failure("documents are no database", "--set documents=file.db collect --symbol A", "file.db", "not a database",
            files={"file.db": "x" * 4096}),
    failure("documents are a folder", "--set documents=folder collect --symbol A", "folder", "cannot open",
            files={"folder": None}),
    failure("log folder of another user", "--log local://log topics", "log", "belongs to user root", "nobody",
            files={"log/data.mdb": ""}, **AS_NOBODY),
    failure("data folder not writable", "send @collect_securities", "horton-data", "Permission denied", **AS_NOBODY),
    failure("worker: data folder not writable", "worker -q -l error", "horton-data", "Permission denied", "datadir",
            **AS_NOBODY),
    failure("documents not writable",
            "--log local:///tmp/mephisto-{pid}-log --set documents=folder/d.db collect --symbol A", "folder/d.db",
            "rights", files={"folder": None}, **AS_NOBODY),
    failure("log file not writable", "-f x.log agents", "x.log", "Permission denied", "--logfile", **AS_NOBODY),
    usage("config.yml not readable", "config", "config.yml", "cannot read", config="shards: 1\n", **AS_NOBODY),
]


def tool(name, args, *says, **how):
    return usage("mephisto: " + name, args, *says, program=MEPHISTO, **how)


NEED_APP = "Need to specify app using -A parameter"
ANY_LIBRARY = next(iter(sorted(
    glob.glob("/lib/*/libz.so.1") + glob.glob("/usr/lib/*/libz.so.1") + glob.glob("/lib/*/libm.so.6"))), "")
TOOL = [
    *[tool(f"{command} without -A", command, NEED_APP)
      for command in ("agents", "worker", "models", "tables", "reset", "clean-versions", "config")],
    tool("a log given, still without -A", "--log local://../log worker", NEED_APP),
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
    tool("no log named", "topics", "name a log", "--log", "-A"),
    failure("mephisto: a log that is not there", "--log local://nowhere topics", "no log", "nowhere", "--log",
            program=MEPHISTO),
    *[failure(f"{args.split()[0]}: no log in an empty folder", args, "no log in", "/horton-data/log", "start a worker",
              "-D", files={"horton-data/log": None})
      for args in ("topics", "lag", "securities")],
    *[failure(f"{args.split()[0]}: no log in this folder", args, "no log in", "/horton-data/log", "start a worker",
              "-D")
      for args in ("topics", "groups", "lag", "topic x", "dlq list", "securities", "security A", "progress", "budget")],
    tool("an app's config.yml is not its own, but one that is named", "--config config.yml topics", "config.yml:1",
         "shard", config="shard: 1\n"),
    tool("agent without app", "--log local://../log send @collect_securities", "collect_securities", "-A"),
    tool("unknown topic", "--log local://../log send nope", "nope"),
]


class CommandLine(BadInput):
    def test_sentences_are_separated(self):
        self.assertNotRegex(self.horton("model", "Nope").stderr, '" [A-Z]')

    def test_there_are_enough_cases(self):
        self.assertGreaterEqual(sum(map(len, (COMMAND_LINE, MARKET, CONFIG, PLACES, TOOL))), 130)

    def test_a_result_that_cannot_be_written(self):
        with open("/dev/full", "w") as full:
            got = subprocess.run([HORTON, "agents"], cwd=self.folder, env=environment(), stdout=full,
                                 stderr=subprocess.PIPE, text=True, timeout=LIMIT)
        self.assertEqual((got.returncode, got.stderr),
                         (FAILED, "Error: cannot write the result: No space left on device\n"))


class Market(BadInput):
    def test_port_taken(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            self.check_message(self.horton("market", "--port", port), FAILED,
                               [f"127.0.0.1:{port}", "in use", "another port"])


class Config(BadInput):
    pass


class Places(BadInput):
    @classmethod
    def tearDownClass(cls):
        run("rm", "-rf", f"/tmp/mephisto-{os.getpid()}-log", folder="/")


class Tool(BadInput):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        run(HORTON, "--log", f"local://{cls.folder}/log", "send", "@collect_securities", folder=cls.folder)


add_tests(CommandLine, COMMAND_LINE)
add_tests(Market, MARKET)
add_tests(Config, CONFIG)
add_tests(Places, PLACES)
add_tests(Tool, TOOL)


if __name__ == "__main__":
    unittest.main()
