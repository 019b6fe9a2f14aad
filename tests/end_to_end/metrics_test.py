"""Metrics of running workers: the official client's parsers read both text formats, and a real Prometheus scrapes them
and answers the queries of the dashboard and of the alerts (ops/)."""
import json
import re
import shutil
import socket
import subprocess
import unittest
import urllib.error
import urllib.parse
import urllib.request

import python_packages
python_packages.need("metrics")

from prometheus_client import openmetrics, parser  # noqa: E402 (found only now)
import prometheus_client.openmetrics.parser  # noqa: E402

from support import BIN, ROOT, Scene, run, wait_for  # noqa: E402

SHOP = BIN.parent / "tests/page_app"
TICKING = BIN.parent / "tests/cron_app"
ALERTS = ROOT / "ops/prometheus/alerts.yml"
DASHBOARD = json.loads((ROOT / "ops/grafana/mephisto.json").read_text())
OPEN_METRICS = "application/openmetrics-text; version=1.0.0"
OUTCOMES = ["acked", "dead_lettered", "skipped", "given_back"]


def get(url, **headers):
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=30) as reply:
        return reply.headers["Content-Type"], reply.read().decode()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class MetricsScene(Scene):
    """Two workers of the shop, and one of an app with crontabs."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.workers = [cls.start_worker_of(program) for program in (SHOP, SHOP, TICKING)]
        cls.shop("fill", "--orders", "200", "--customers", "30")
        cls.shop("send", "orders", json.dumps({"customer": "ann", "item": "bad atlas", "price": -1}), "--key", "ann")
        cls.shop("send", "parcels", json.dumps({"customer": "ann", "item": "lost", "price": 1}), "--key", "ann")

    @classmethod
    def start_worker_of(cls, program):
        worker = cls.start(program, "worker", "-l", "info", "--web-port", "0", "--set", "broker_commit_interval=0.1s",
                           name=program.name)
        url = worker.wait_for(r"Web pages at (http://127\.0\.0\.1:\d+)/").group(1)
        worker.wait_for(r" - Worker ready$")
        return url

    @classmethod
    def shop(cls, *words):
        got = run(SHOP, *words, folder=cls.folder)
        assert got.returncode == 0, got
        return got.stdout


class Parsed(MetricsScene):
    def families(self, url, accept):
        content_type, text = get(url + "/metrics", Accept=accept)
        parse = openmetrics.parser if accept == OPEN_METRICS else parser
        self.assertIn("openmetrics" if accept == OPEN_METRICS else "version=0.0.4", content_type)
        return {family.name: family for family in parse.text_string_to_metric_families(text)}

    def test_both_formats_have_the_same_series_and_types(self):
        for url in self.workers:
            plain, open_ = self.families(url, "text/plain"), self.families(url, OPEN_METRICS)
            self.assertEqual({name: family.type for name, family in plain.items()},
                             {name: family.type for name, family in open_.items()})
            series = lambda families: {(sample.name, *sorted(sample.labels.items()))
                                       for family in families.values() for sample in family.samples}
            lasting = lambda families: {one for one in series(families) if "http" not in one[0]}
            self.assertEqual(lasting(plain), lasting(open_))
            for family in open_.values():
                self.assertIn(family.type, ("gauge", "counter", "histogram"))
                self.assertTrue(family.documentation.endswith((".", "1.")), family)

    def test_names_and_units_are_prometheus_own(self):
        for name, family in self.families(self.workers[0], OPEN_METRICS).items():
            self.assertRegex(name, r"^(mephisto|process)_[a-z_]+$")
            self.assertNotRegex(name, r"_(total|created|count|sum|bucket|ms|millis|kb)$")
            for sample in family.samples:
                if family.type == "counter":
                    self.assertEqual(sample.name, name + "_total")
                    self.assertGreaterEqual(sample.value, 0)

    def test_the_account_adds_up(self):
        def account():
            received, parts = {}, {}
            for url in self.workers[:2]:
                families = self.families(url, OPEN_METRICS)
                of = lambda sample: (url, sample.labels["agent"], sample.labels["topic"])
                for sample in families["mephisto_events_received"].samples:
                    received[of(sample)] = sample.value
                for name in ("mephisto_events", "mephisto_events_in_flight"):
                    for sample in families[name].samples:
                        parts[of(sample)] = parts.get(of(sample), 0) + sample.value
                outcomes = {sample.labels["outcome"] for sample in families["mephisto_events"].samples}
                self.assertEqual(outcomes, set(OUTCOMES))
            return received, parts
        received, parts = account()
        self.assertEqual(received, parts)
        total = lambda: sum(count for (_, agent, _), count in account()[0].items() if agent == "check_orders")
        wait_for(lambda: total() == 201, lambda: f"201 orders, not {total()}")

    def test_histograms_count_each_event(self):
        def counts(name, label):
            found = {}
            for url in self.workers[:2]:
                for sample in self.families(url, OPEN_METRICS)[name].samples:
                    if sample.name.endswith("_count"):
                        agent = sample.labels[label]
                        found[agent] = found.get(agent, 0) + sample.value
            return found
        wait_for(lambda: counts("mephisto_event_latency_seconds", "agent")["check_orders"] == 201, "all are committed")
        timed = counts("mephisto_handler_seconds", "agent")["check_orders"]
        self.assertLessEqual(timed, 201)
        self.assertGreater(timed, 0)


class ScrapedScene(MetricsScene):
    """With a Prometheus."""
    options = ()

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        if shutil.which("prometheus") is None:
            raise AssertionError("there is no prometheus: dev/deps installs it")
        port = free_port()
        shutil.copy(ALERTS, cls.folder / "alerts.yml")
        targets = ", ".join(json.dumps(url.removeprefix("http://")) for url in cls.workers)
        (cls.folder / "prometheus.yml").write_text(f"""
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: [alerts.yml]
scrape_configs:
  - job_name: mephisto
    static_configs: [{{targets: [{targets}]}}]
""")
        cls.start("prometheus", f"--config.file={cls.folder}/prometheus.yml", f"--storage.tsdb.path={cls.folder}/tsdb",
                  f"--web.listen-address=127.0.0.1:{port}", *cls.options, name="prometheus")
        cls.base = f"http://127.0.0.1:{port}/api/v1/"
        wait_for(lambda: cls.answers("count(up == 1)") == 3, "three targets are up")
        cls.shop("fill", "--orders", "300", "--customers", "30")

    @classmethod
    def api(cls, path, **parameters):
        try:
            return json.loads(get(cls.base + path + "?" + urllib.parse.urlencode(parameters))[1])["data"]
        except urllib.error.HTTPError as error:
            if error.code != 503:
                raise AssertionError(f"{path} {parameters}: {error.read().decode()}")
        except urllib.error.URLError:
            pass
        return {"result": []}  # it starts

    @classmethod
    def result(cls, query):
        return cls.api("query", query=query)["result"]

    @classmethod
    def answers(cls, query):
        """The value, if it is one."""
        result = cls.result(query)
        return float(result[0]["value"][1]) if len(result) == 1 else None


class Scraped(ScrapedScene):
    def test_every_query_of_the_dashboard_has_data(self):
        queries = [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", [])]
        self.assertGreater(len(queries), 40)
        for query in queries:
            query = query.replace("$job", ".+").replace("$__rate_interval", "10s")
            self.assertNotIn("$", query)
            wait_for(lambda: self.result(query), f"data for {query}", limit=90)

    def test_the_dashboard_can_be_imported(self):
        """As far as this can be said without a Grafana."""
        self.assertEqual(len({panel["id"] for panel in DASHBOARD["panels"]}), len(DASHBOARD["panels"]))
        taken = set()
        for panel in DASHBOARD["panels"]:
            place = panel["gridPos"]
            cells = {(x, y) for x in range(place["x"], place["x"] + place["w"])
                     for y in range(place["y"], place["y"] + place["h"])}
            self.assertFalse(taken & cells, panel["title"])
            self.assertLessEqual(place["x"] + place["w"], 24)
            taken |= cells
        self.assertEqual([one["name"] for one in DASHBOARD["templating"]["list"]], ["source", "job"])

    def test_the_alerts_are_right(self):
        for words in (["check", "rules", ALERTS], ["test", "rules", ALERTS.parent / "alerts_test.yml"]):
            done = subprocess.run(["promtool", *words], capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        rules = wait_for(lambda: self.api("rules").get("groups"), "the rules")[0]["rules"]
        tested = re.findall(r"^  - name: (\w+)$", (ALERTS.parent / "alerts_test.yml").read_text(), re.MULTILINE)
        self.assertEqual([rule["name"] for rule in rules], tested)
        for rule in rules:
            self.assertGreater(len(rule["annotations"]["action"]), 30, rule["name"])
            self.assertIn("summary", rule["annotations"])
            for metric in set(re.findall(r"\b(?:mephisto|process)_\w+", rule["query"])):
                wait_for(lambda: self.result(f"count({metric})"), f"{metric} of {rule['name']}")
            evaluated = lambda: {one["name"]: one["health"] for one in self.api("rules")["groups"][0]["rules"]}
            wait_for(lambda: evaluated()[rule["name"]] == "ok", lambda: f"{evaluated()}")

    def test_a_dead_letter_fires_its_alert(self):
        self.shop("send", "orders", json.dumps({"customer": "eve", "item": "novel", "price": -2}), "--key", "eve")
        firing = 'ALERTS{alertname="MephistoDeadLetters",alertstate="firing",agent="check_orders"}'
        wait_for(lambda: self.result(firing), "the alert", limit=90)

    def test_the_account_adds_up_in_prometheus_too(self):
        """Each scrape is of one moment, so that the equation holds in every one."""
        of = "sum by (instance, agent, topic)"
        sides = (f"{of} (mephisto_events_received_total)",
                 f"({of} (mephisto_events_total) + {of} (mephisto_events_in_flight))")
        wait_for(lambda: self.result(sides[0]), "events")
        self.assertEqual(self.result(f"{sides[0]} != {sides[1]}"), [])
        self.assertTrue(self.result(f"{sides[0]} == {sides[1]}"))

    def test_it_tells_what_the_commands_tell(self):
        rows = json.loads(self.shop("lag", "--json"))
        ends = {(row["topic"], str(row["partition"])): row["end"] for row in rows if row["topic"] == "parcels"}
        self.assertTrue(ends)
        told = lambda: {(one["metric"]["topic"], one["metric"]["partition"]): float(one["value"][1])
                        for one in self.result('mephisto_end_offset{topic="parcels"}')}
        wait_for(lambda: told() == ends, lambda: f"{told()} {ends}")
        wait_for(lambda: (self.answers('max(mephisto_oldest_unacknowledged_age_seconds{topic="parcels"})') or 0) > 0,
                 "the lost parcel gets old")
        wait_for(lambda: self.answers("sum(mephisto_worker_leads)") == 2, "each app has one leader")
        wait_for(lambda: (self.answers('mephisto_cron_slots_total{crontab="tick",outcome="ok"}') or 0) >= 2, "slots")
        self.assertLess(abs(self.answers('mephisto_cron_next_slot_timestamp_seconds{crontab="tick"} - time()')), 60)

    def test_counters_are_counters(self):
        types = {name: {entry["type"] for entry in entries} for name, entries in self.api("metadata").items()}
        self.assertEqual(types["mephisto_events"], {"counter"})
        self.assertEqual(types["mephisto_event_latency_seconds"], {"histogram"})
        self.assertEqual(types["mephisto_lag"], {"gauge"})


class ScrapedAsMessages(ScrapedScene):
    """Only Prometheus' protobuf messages have native histograms."""
    options = ("--enable-feature=native-histograms",)

    def test_histograms_are_native(self):
        name = 'mephisto_event_latency_seconds{agent="check_orders"}'
        wait_for(lambda: self.answers(f"histogram_count(sum({name}))") == 501, "all orders are committed")
        quantile = self.answers(f"histogram_quantile(0.9, sum({name}))")
        self.assertGreater(quantile, 0)
        self.assertLess(quantile, 60)
        self.assertGreater(self.answers(f"histogram_sum(sum({name}))"), 0)
        wait_for(lambda: self.result('histogram_quantile(0.5, sum(rate(mephisto_handler_seconds[10s])))'), "handlers")

    def test_the_rest_is_as_in_the_text(self):
        received = 'mephisto_events_received_total{agent="check_orders"}'
        wait_for(lambda: self.answers(f"sum({received})") == 501, "all orders")
        self.assertEqual(self.answers('sum(mephisto_events_total{agent="check_orders",outcome="dead_lettered"})'), 1)
        self.assertEqual({one["metric"]["app"] for one in self.result("mephisto_build_info")}, {"bookshop", "ticking"})


if __name__ == "__main__":
    unittest.main()
