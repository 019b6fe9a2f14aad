"""What workers send by OTLP/HTTP, decoded by the definitions of OpenTelemetry: metrics that are those of /metrics,
traces over several agents, and collectors that are away, slow or wrong."""
import gzip
import http.server
import json
import re
import signal
import socket
import socketserver
import threading
import time
import unittest
import urllib.request

import python_packages
python_packages.need("otlp")

from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2  # noqa: E402 (found only now)
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2  # noqa: E402
from opentelemetry.proto.metrics.v1 import metrics_pb2  # noqa: E402
from opentelemetry.proto.trace.v1 import trace_pb2  # noqa: E402
from prometheus_client import parser  # noqa: E402

from support import BIN, Scene, run, wait_for  # noqa: E402

SHOP = BIN.parent / "tests/page_app"
TRACED = BIN.parent / "tests/traced_app"
REQUESTS = {"/v1/metrics": metrics_service_pb2.ExportMetricsServiceRequest,
            "/v1/traces": trace_service_pb2.ExportTraceServiceRequest}
RESPONSES = {"/v1/metrics": metrics_service_pb2.ExportMetricsServiceResponse,
             "/v1/traces": trace_service_pb2.ExportTraceServiceResponse}
SECRET = "sesame-open-sesame"


class Collector:
    """Keeps what it gets. `answer(path)` gives the status, the headers and the body of its next answer."""

    def __init__(self, port=0):
        self.got = []  # (time, path, headers, message)
        self.answer = lambda path: (200, {}, RESPONSES[path]().SerializeToString())
        collector = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers["Content-Encoding"] == "gzip":
                    body = gzip.decompress(body)
                collector.got.append((time.monotonic(), self.path, dict(self.headers),
                                      REQUESTS[self.path].FromString(body)))
                status, headers, answer = collector.answer(self.path)
                try:
                    self.send_response(status)
                    for name, value in {"Content-Type": "application/x-protobuf", **headers}.items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", str(len(answer)))
                    self.end_headers()
                    self.wfile.write(answer)
                except OSError:
                    pass  # the worker does not wait any more

            def log_message(self, *words):
                pass

        class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
            daemon_threads = True

            def handle_error(self, request, address):
                pass  # a worker was killed

        self.server = Server(("127.0.0.1", port), Handler)
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def end(self):
        self.server.shutdown()
        self.server.server_close()

    def spans(self):
        """All that it got."""
        return [span for _, path, _, message in self.got if path == "/v1/traces" for resource in message.resource_spans
                for scope in resource.scope_spans for span in scope.spans]


class OtlpScene(Scene):
    def setUp(self):
        self.place = self.folder / self.id().rsplit(".", 1)[1]
        self.place.mkdir()

    def collector(self, port=0):
        collector = Collector(port)
        self.addCleanup(collector.end)
        return collector

    def worker(self, url, *options, program=SHOP, **settings):
        settings = {"otlp": url, "otlp_interval": "200ms", "broker_commit_interval": "100ms", **settings}
        sets = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
        worker = self.start(program, "worker", "-l", "info", "--web-port", "0", *sets, *options, folder=self.place,
                            name=program.name)
        worker.url = worker.wait_for(r"Web pages at (http://127\.0\.0\.1:\d+)/").group(1)
        worker.wait_for(r"Worker ready")
        return worker

    def shop(self, *words, program=SHOP):
        got = run(program, *words, folder=self.place)
        self.assertEqual(got.returncode, 0, got)
        return got.stdout

    def page(self, worker):
        with urllib.request.urlopen(worker.url + "/metrics", timeout=30) as reply:
            return reply.read().decode()

    def dropped(self, worker, sign="metrics"):
        return float(re.search(rf'^mephisto_otlp_dropped_total{{signal="{sign}"}} (\S+)$', self.page(worker), re.M)[1])


def text_of(attributes):
    return {one.key: one.value.string_value for one in attributes}


# What is not the same in two answers of a worker that has nothing to do.
MOVING = re.compile(r"^(process_|mephisto_(http|otlp|standstill|oldest_unacknowledged_age))")


def points_of(request):
    """Samples by name and labels, as in the text of /metrics."""
    points = {}
    for resource in request.resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                if MOVING.match(metric.name):
                    continue
                for point in getattr(metric, metric.WhichOneof("data")).data_points:
                    labels = text_of(point.attributes)
                    if not metric.HasField("histogram"):
                        points[metric.name, frozenset(labels.items())] = point.as_double
                        continue
                    total = 0
                    for bound, count in zip([*point.explicit_bounds, float("inf")], point.bucket_counts, strict=True):
                        total += count
                        points[metric.name + "_bucket", frozenset({**labels, "le": bound}.items())] = total
                    assert total == point.count
                    points[metric.name + "_count", frozenset(labels.items())] = point.count
                    points[metric.name + "_sum", frozenset(labels.items())] = point.sum
    return points


def points_of_page(text):
    points = {}
    for family in parser.text_string_to_metric_families(text):
        for sample in family.samples:
            if MOVING.match(sample.name):
                continue
            labels = {name: float(value) if name == "le" else value for name, value in sample.labels.items()}
            points[sample.name, frozenset(labels.items())] = sample.value
    return points


class Metrics(OtlpScene):
    def test_are_those_of_the_page(self):
        collector = self.collector()
        worker = self.worker(collector.url)
        self.shop("fill", "--orders", "200", "--customers", "30")
        self.shop("send", "orders", json.dumps({"customer": "ann", "item": "bad", "price": -1}), "--key", "ann")

        def same():
            count, wanted = len(collector.got), points_of_page(self.page(worker))
            wait_for(lambda: len(collector.got) > count + 1, "the next numbers")
            got = points_of(collector.got[-1][3])
            done = got.get(("mephisto_events_total", frozenset({"agent": "check_orders", "topic": "orders",
                                                                "outcome": "acked"}.items())))
            return done == 200 and got == wanted
        wait_for(same, lambda: points_of_page(self.page(worker)).items() ^ points_of(collector.got[-1][3]).items())

    def test_are_what_collectors_understand(self):
        collector = self.collector()
        worker = self.worker(collector.url + "/", otlp_headers=f"authorization=Bearer {SECRET}; x-tenant=shop")
        wait_for(lambda: len(collector.got) > 3, "numbers")
        _, path, headers, first = collector.got[0]
        last = collector.got[-1][3]
        self.assertEqual((path, headers["Content-Type"], headers["Content-Encoding"]),
                         ("/v1/metrics", "application/x-protobuf", "gzip"))
        self.assertEqual((headers["authorization"], headers["x-tenant"]), (f"Bearer {SECRET}", "shop"))
        self.assertEqual(len(last.resource_metrics), 1)
        source = text_of(last.resource_metrics[0].resource.attributes)
        self.assertEqual((source["service.name"], source["telemetry.sdk.language"]), ("bookshop", "cpp"))
        self.assertIn(str(worker.pid), source["service.instance.id"])
        self.assertEqual(last.resource_metrics[0].scope_metrics[0].scope.name, "mephisto")

        def metrics(request):
            return {metric.name: metric for metric in request.resource_metrics[0].scope_metrics[0].metrics}
        now = time.time() * 1e9
        begun = set()
        for name, metric in metrics(last).items():
            self.assertTrue(metric.description)
            self.assertEqual(metric.unit, "s" if "_seconds" in name else "By" if "_bytes" in name else "1", name)
            kind = metric.WhichOneof("data")
            data = getattr(metric, kind)
            self.assertEqual(kind == "sum", name.endswith("_total"), name)
            if kind == "sum":
                self.assertTrue(data.is_monotonic)
            if kind != "gauge":
                self.assertEqual(data.aggregation_temporality, metrics_pb2.AGGREGATION_TEMPORALITY_CUMULATIVE)
            for point in data.data_points:
                self.assertLess(abs(now - point.time_unix_nano), 60e9)
                if kind != "gauge":
                    begun.add(point.start_time_unix_nano)
                    self.assertLess(point.start_time_unix_nano, point.time_unix_nano)
        before = metrics(first)["process_cpu_seconds_total"].sum.data_points[0]
        self.assertEqual(begun, {before.start_time_unix_nano}, "all have counted since the same time")
        after = metrics(last)["process_cpu_seconds_total"].sum.data_points[0]
        self.assertGreaterEqual(after.as_double, before.as_double)

    def test_are_sent_for_a_last_time_at_the_stop(self):
        collector = self.collector()
        worker = self.worker(collector.url, otlp_interval="1h")
        self.assertEqual(collector.got, [])
        worker.signal(signal.SIGTERM)
        self.assertEqual(worker.wait(), 0)
        self.assertEqual(len(collector.got), 1)


class Secrets(OtlpScene):
    def test_headers_are_never_shown(self):
        collector = self.collector()
        collector.answer = lambda path: (401, {}, b"")
        worker = self.worker(collector.url, otlp_headers=f"authorization=Bearer {SECRET}")
        worker.wait_for(r"does not take metrics: http://127\.0\.0\.1:\d+/v1/metrics answers 401; they are dropped")
        shown = self.shop("config", "--set", f"otlp_headers=authorization=Bearer {SECRET}")
        for text in (worker.stderr, worker.stdout, shown, self.page(worker)):
            self.assertNotIn(SECRET, text)
        self.assertRegex(shown, r"otlp_headers +\S* *\*\*\*")

    def test_wrong_settings_are_refused_without_showing_them(self):
        for setting, why in (("otlp=127.0.0.1:4318", "is not a usable URL"), ("otlp=http://h:1/?a=b", "no query"),
                             ("otlp=grpc://h:4317", "only http:// and https://"),
                             (f"otlp_headers={SECRET}", "header 1 is not NAME=VALUE"),
                             (f"otlp_headers=a=b;c d={SECRET}", "header 2 is not NAME=VALUE")):
            with self.subTest(setting):
                got = run(SHOP, "worker", "--set", setting, folder=self.place)
                self.assertEqual(got.returncode, 2)
                self.assertIn(why, got.stderr)
                self.assertNotIn(SECRET, got.stderr)


class BadCollectors(OtlpScene):
    def warnings(self, worker):
        return re.findall(r"The collector does not take .*", worker.stderr)

    def works(self, worker):
        """Whatever the collector does."""
        self.shop("send", "visits", json.dumps("ann"))
        with urllib.request.urlopen(worker.url + "/live", timeout=5) as reply:
            self.assertEqual(reply.status, 200)
        wait_for(lambda: 'mephisto_events_total{agent="watch",topic="visits",outcome="acked"} 1\n' in self.page(worker),
                 "the visit is done")

    def test_one_that_is_away_costs_one_line(self):
        collector = self.collector()
        collector.end()
        worker = self.worker(collector.url)
        worker.wait_for(r"The collector does not take metrics: .*127\.0\.0\.1:\d+/v1/metrics: connection refused.*; "
                        r"they are dropped$")
        self.works(worker)
        many = self.dropped(worker)
        self.assertGreater(many, 0)
        wait_for(lambda: self.dropped(worker) > 3 * many, "more are dropped")
        self.assertEqual(len(self.warnings(worker)), 1)
        again = self.collector(collector.port)
        worker.wait_for(r"The collector takes metrics again after ")
        wait_for(lambda: again.got, "numbers")
        lost = self.dropped(worker)
        count = len(again.got)
        wait_for(lambda: len(again.got) > count + 2, "more numbers")
        self.assertEqual(self.dropped(worker), lost)

    def test_a_stop_does_not_wait_for_a_slow_one(self):
        collector = self.collector()
        released = threading.Event()
        self.addCleanup(released.set)
        collector.answer = lambda path: released.wait(60) and (200, {}, b"")
        worker = self.worker(collector.url)
        wait_for(lambda: collector.got, "a request")
        self.works(worker)
        begun = time.monotonic()
        worker.signal(signal.SIGTERM)
        self.assertEqual(worker.wait(), 0)
        self.assertLess(time.monotonic() - begun, 5)
        self.assertEqual(self.warnings(worker), [])

    def test_one_that_has_enough_is_asked_when_it_says(self):
        for status in (429, 503):
            with self.subTest(status):
                collector = self.collector()
                collector.answer = lambda path: (status, {"Retry-After": "2"}, b"")
                worker = self.worker(collector.url)
                wait_for(lambda: len(collector.got) >= 2, "two requests")
                self.assertGreaterEqual(collector.got[1][0] - collector.got[0][0], 1.9)
                self.works(worker)
                worker.signal(signal.SIGTERM)
                self.assertEqual(worker.wait(), 0)
                self.assertLessEqual(len(collector.got), 3)

    def test_what_it_does_not_take_is_counted(self):
        collector = self.collector()
        part = metrics_service_pb2.ExportMetricsServiceResponse()
        part.partial_success.rejected_data_points = 3
        part.partial_success.error_message = "out of \x1b[31morder"
        collector.answer = lambda path: (200, {}, part.SerializeToString())
        worker = self.worker(collector.url)
        worker.wait_for(r"does not take metrics: out of \\x1b\[31morder; they are dropped$")
        wait_for(lambda: self.dropped(worker) >= 6, "they are counted")
        self.assertEqual(self.dropped(worker) % 3, 0)

    def test_a_refusal_says_why(self):
        collector = self.collector()
        # A google.rpc.Status, with a code and a message.
        collector.answer = lambda path: (400, {}, b"\x08\x03\x12\x0eno such tenant")
        worker = self.worker(collector.url)
        worker.wait_for(r"metrics: http://127\.0\.0\.1:\d+/v1/metrics answers 400, no such tenant; they are dropped$")

    def test_garbage_does_no_harm(self):
        collector = self.collector()
        bodies = [b"\xff" * 1000, b"\x0a\xff\xff\xff\xff\x0f", b"<html>", b"x" * 200_000,
                  b'{"partialSuccess":{"rejectedDataPoints":"1"}}']
        collector.answer = lambda path: (200, {}, bodies[len(collector.got) % len(bodies)])
        worker = self.worker(collector.url)
        wait_for(lambda: len(collector.got) > 3 * len(bodies), "it goes on")
        self.works(worker)

    def test_one_that_speaks_no_http_does_no_harm(self):
        with socket.socket() as server:
            server.bind(("127.0.0.1", 0))
            server.listen()
            server.settimeout(60)
            worker = self.worker(f"http://127.0.0.1:{server.getsockname()[1]}")
            for answer in (b"\0" * 100, b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", b"", b"SSH-2.0-x\r\n"):
                client, _ = server.accept()
                with client:
                    client.recv(65536)
                    client.sendall(answer)
        worker.wait_for("The collector does not take metrics: ")
        self.works(worker)


class TracesScene(OtlpScene):
    def traced_worker(self, url, sample, *options, **settings):
        return self.worker(url, *options, program=TRACED, trace_sample=sample, otlp_interval="1h", **settings)

    def feed(self, *words):
        self.shop("feed", *words, program=TRACED)

    def spans(self, collector, count):
        wait_for(lambda: len(collector.spans()) >= count, lambda: f"{count} spans, not {len(collector.spans())}")
        spans = collector.spans()
        self.assertEqual(len(spans), count)
        return {(span.name, attributes_of(span)["messaging.kafka.offset"]): span for span in spans}


def attributes_of(span):
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in span.attributes}


class Traces(TracesScene):
    def test_of_an_event_is_one_tree_over_agents_and_workers(self):
        collector = self.collector()
        worker = self.traced_worker(collector.url, "1")
        other = self.traced_worker(collector.url, "1")
        self.feed("--times", "3", "--text", "atlas-of-secrets")
        spans = self.spans(collector, 7)
        begun, going_on = ([spans[f"process {topic}", offset] for offset in range(3)] for topic in ("first", "second"))
        self.assertEqual(len({span.trace_id for span in begun}), 3)
        self.assertEqual(len({span.span_id for span in spans.values()}), 7)
        for root in begun:
            self.assertEqual((len(root.trace_id), len(root.span_id), root.parent_span_id), (16, 8, b""))
        roots = {span.trace_id: span for span in begun}
        for span in going_on:
            self.assertEqual(span.parent_span_id, roots[span.trace_id].span_id)
            self.assertGreaterEqual(span.start_time_unix_nano, roots[span.trace_id].start_time_unix_nano)
        batch = spans["process third", 2]
        self.assertEqual({(link.trace_id, link.span_id) for link in batch.links},
                         {(span.trace_id, span.span_id) for span in going_on})
        self.assertNotIn(batch.trace_id, roots)
        self.assertEqual(attributes_of(batch)["messaging.batch.message_count"], 3)
        for span in spans.values():
            self.assertEqual(span.kind, trace_pb2.Span.SPAN_KIND_CONSUMER)
            self.assertEqual(span.status.code, trace_pb2.Status.STATUS_CODE_UNSET)
            self.assertLessEqual(span.start_time_unix_nano, span.end_time_unix_nano)
            self.assertLess(abs(time.time() * 1e9 - span.end_time_unix_nano), 120e9)
        self.assertEqual(attributes_of(spans["process second", 0]), {
            "messaging.system": "mephisto", "messaging.operation.name": "process",
            "messaging.operation.type": "process", "messaging.destination.name": "second",
            "messaging.destination.partition.id": "0", "messaging.consumer.group.name": "traced",
            "messaging.kafka.offset": 0, "messaging.message.body.size": len('"atlas-of-secrets"'),
            "mephisto.message.key.size": len("key-atlas-of-secrets"), "mephisto.agent": "go_on"})
        requests = [message for _, path, _, message in collector.got if path == "/v1/traces"]
        self.assertFalse([one for one in requests if b"atlas" in one.SerializeToString()], "no record's data")
        pids = {text_of(one.resource_spans[0].resource.attributes)["service.instance.id"].split(":")[-1]
                for one in requests}
        self.assertLessEqual(pids, {str(worker.pid), str(other.pid)})

    def test_follow_what_the_sender_has_decided(self):
        collector = self.collector()
        self.traced_worker(collector.url, "0")
        self.feed("--context", "00-0123456789abcdef0123456789abcdef-00000000000000aa-00")
        self.feed()
        self.feed("--context", "00-0123456789abcdef0123456789abcdef-00000000000000aa-01")
        spans = self.spans(collector, 3)
        self.assertEqual(set(spans), {("process first", 2), ("process second", 2), ("process third", 2)})
        self.assertEqual(spans["process first", 2].trace_id.hex(), "0123456789abcdef0123456789abcdef")
        self.assertEqual(spans["process first", 2].parent_span_id.hex(), "00000000000000aa")
        self.assertEqual(spans["process second", 2].parent_span_id, spans["process first", 2].span_id)

    def test_a_failure_is_an_error_that_shows_no_record(self):
        collector = self.collector()
        self.traced_worker(collector.url, "1")
        self.feed("--text", "bad-secret")
        span = self.spans(collector, 1)["process first", 0]
        self.assertEqual((span.status.code, span.status.message), (trace_pb2.Status.STATUS_CODE_ERROR, "invalid"))
        self.assertEqual(attributes_of(span)["error.type"], "invalid")
        self.assertNotIn(b"secret", span.SerializeToString())

    def test_are_named_in_log_lines(self):
        collector = self.collector()
        worker = self.traced_worker(collector.url, "0", log_format="json")
        self.feed()
        self.feed("--context", "00-0123456789abcdef0123456789abcdef-00000000000000aa-01")
        self.feed("--context", "00-0123456789abcdef0123456789abcdef-00000000000000aa-01", "--text", "bad")
        spans = self.spans(collector, 3)
        worker.wait_for("it is bad")
        text = worker.stderr
        lines = [json.loads(line) for line in text[text.index("{"):].splitlines()]
        begun = {line["offset"]: line for line in lines if line["message"] == "Begun"}
        self.assertNotIn("trace_id", begun[0])
        failed = [line for line in lines if "it is bad" in line["message"]][0]
        for line, offset in ((begun[1], 1), (failed, 2)):
            span = spans["process first", offset]
            self.assertEqual((line["topic"], line["partition"], line["offset"]), ("first", 0, offset))
            self.assertEqual((line["trace_id"], line["span_id"]), (span.trace_id.hex(), span.span_id.hex()))

    def test_a_wrong_share_is_refused(self):
        for share in ("2", "-0.1", "nan", "all", "1%"):
            got = run(TRACED, "worker", "--set", f"trace_sample={share}", folder=self.place)
            self.assertEqual(got.returncode, 2)
            self.assertIn(f'trace_sample: "{share}" is not a number from 0 to 1', got.stderr)


class BadCollectorsOfTraces(TracesScene):
    def test_spans_wait_for_one_that_is_away(self):
        collector = self.collector()
        collector.end()
        worker = self.traced_worker(collector.url, "1")
        self.feed("--text", "bad")
        worker.wait_for(r"The collector does not take traces: .*; they wait for it, and are dropped if there is no "
                        r"room$")
        self.feed("--text", "bad")
        again = self.collector(collector.port)
        spans = self.spans(again, 2)
        self.assertEqual({offset for _, offset in spans}, {0, 1})
        self.assertEqual(self.dropped(worker, "traces"), 0)
        self.assertEqual(worker.stderr.count("does not take traces"), 1)

    def test_spans_are_sent_again_when_it_has_room(self):
        collector = self.collector()
        replies = [(503, {"Retry-After": "1"}, b""), (429, {}, b"")]
        normal = collector.answer
        collector.answer = lambda path: replies.pop() if replies else normal(path)
        worker = self.traced_worker(collector.url, "1")
        self.feed("--text", "bad")
        wait_for(lambda: len(collector.got) == 3, lambda: f"{len(collector.got)} requests")
        self.assertEqual(len({one[3].SerializeToString() for one in collector.got}), 1, "the same spans")
        self.assertEqual(self.dropped(worker, "traces"), 0)

    def test_what_there_is_no_room_for_is_counted(self):
        collector = self.collector()
        collector.end()
        worker = self.traced_worker(collector.url, "1")
        self.feed("--text", "bad")
        worker.wait_for("The collector does not take traces")
        self.feed("--times", "20000")
        done = re.compile(r'^mephisto_events_total\{agent="go_on",topic="second",outcome="acked"\} 20000$', re.M)
        wait_for(lambda: done.search(self.page(worker)), "all are processed")
        again = self.collector(collector.port)
        events = 1 + 2 * 20000 + 20000 // 3
        wait_for(lambda: len(again.spans()) + self.dropped(worker, "traces") >= events,
                 lambda: f"{len(again.spans())} + {self.dropped(worker, 'traces')} of {events}")
        self.assertEqual(len(again.spans()) + self.dropped(worker, "traces"), events, "each is sent or counted")
        self.assertGreater(self.dropped(worker, "traces"), 20000)
        self.assertLessEqual(max(len(one[3].SerializeToString()) for one in again.got), 2 << 20)

    def test_what_it_refuses_for_good_is_counted(self):
        collector = self.collector()
        collector.answer = lambda path: (400, {}, b"")
        worker = self.traced_worker(collector.url, "1")
        self.feed("--text", "bad", "--times", "5")
        worker.wait_for(r"The collector does not take traces: \S+ answers 400; they are dropped$")
        wait_for(lambda: self.dropped(worker, "traces") == 5, lambda: self.dropped(worker, "traces"))


if __name__ == "__main__":
    unittest.main()
