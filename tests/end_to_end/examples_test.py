"""The examples of tables, windows and joins as programs on local://."""
import json
import unittest

from support import BIN, Scene, run, wait_for


class Example(Scene):
    def start_example(self, name, *options):
        self.program, self.options = BIN.parent / "examples" / name, options
        self.place = self.folder / name
        self.place.mkdir()
        self.run_worker()

    def run_worker(self):
        self.worker = self.start(self.program, "worker", *self.options, folder=self.place, name="worker")
        self.worker.wait_for("Worker ready$")

    def send(self, topic, value, key):
        sent = run(self.program, "send", topic, json.dumps(value), "--key", key, folder=self.place)
        self.assertEqual((sent.returncode, sent.stderr), (0, ""))

    def values(self, topic):
        got = run(self.program, "topic", topic, "--json", folder=self.place)
        self.assertEqual((got.returncode, got.stderr), (0, ""))
        return [record["value"] for record in json.loads(got.stdout)]

    def wait_for_values(self, topic, expected):
        wait_for(lambda: len(self.values(topic)) >= len(expected), lambda: self.values(topic))
        self.assertEqual(sorted(self.values(topic), key=str), sorted(expected, key=str))

    def test_words_are_counted_on_after_a_kill(self):
        self.start_example("word_count", "--set", "processing_guarantee=exactly_once")
        counts = [("to", 1), ("to", 2), ("be", 1), ("be", 2), ("or", 1), ("not", 1)]
        for line, more in (("to be or not to be", []), ("to be", [("to", 3), ("be", 3)])):
            counts += more
            self.send("lines", line, line)
            self.wait_for_values("results", [{"word": word, "count": count} for word, count in counts])
            self.worker.end()
            self.run_worker()

    def test_a_minute_of_page_views_has_one_result(self):
        self.start_example("page_views")
        for second in (5, 59, 65, 40, 70, 30):
            time = f"2026-11-29T12:{second // 60:02}:{second % 60:02}Z"
            self.send("views", {"page": "/home", "user": "ann", "time": time}, "/home")
        self.wait_for_values("late_views", [{"page": "/home", "user": "ann", "time": "2026-11-29T12:00:30Z"}])
        self.wait_for_values("finals", [{"start": "2026-11-29T12:00:00Z", "end": "2026-11-29T12:01:00Z",
                                         "value": 3}])

    def test_an_order_finds_its_payment(self):
        self.start_example("paid_orders")
        self.send("orders", {"number": 1, "price": 20}, "1")
        self.send("payments", {"amount": 20}, "1")
        self.wait_for_values("outcomes", [{"order": 1, "paid": True}])

    def test_a_card_that_pays_too_much_is_told(self):
        self.start_example("card_fraud")
        for _ in range(4):
            self.send("payments", 300, "4711")
        self.wait_for_values("alerts", [{"payments": 4, "sum": 1200.0}])

    def test_a_trade_gets_the_quote_that_held(self):
        self.start_example("trade_quotes")
        self.send("quotes", {"ask": 12}, "AAPL")
        self.send("trades", {"symbol": "AAPL", "price": 12.5}, "AAPL")

        def look():  # the trade waits until a record is a second later
            self.send("quotes", {"ask": 13}, "AAPL")
            return self.values("costs")
        self.assertEqual(wait_for(look, "the trade's cost"), [{"symbol": "AAPL", "above_ask": 0.5}])


if __name__ == "__main__":
    unittest.main()
