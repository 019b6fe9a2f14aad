"""Each side calls the other's agents: ask, map, join, cast, send, sinks; and answers that nobody waits for."""
import json
import sys
import unittest

import sides
from sides import Sides, wait_for

POINTS = [{"x": 1, "y": 0.5, "__faust": {"ns": "geo.Point"}}, {"x": 2, "y": 1e-7, "__faust": {"ns": "geo.Point"}}]
TURNED = {"start": POINTS[1], "end": POINTS[0], "label": None, "__faust": {"ns": "geo.Line"}}
GROWN = {
    "name": "two",
    "shapes": [
        {"centre": {"x": 0, "y": 0.0, "__faust": {"ns": "geo.Point"}}, "radius": 3.0, "__faust": {"ns": "geo.Circle"}},
        {"corner": {"x": 1, "y": 1.0, "__faust": {"ns": "geo.Point"}}, "side": 4.0, "__faust": {"ns": "geo.Square"}},
    ],
    "__faust": {"ns": "geo.Drawing"},
}


def answer(value, correlation, key="null"):
    return f'{{"key":{key},"value":{value},"correlation_id":"{correlation}","__faust":{{"ns":"@ReqRepResponse"}}}}'


def asking(topic, correlation):
    return {"headers": [("Faust-Ag-ReplyTo", topic.encode()), ("Faust-Ag-CorrelationId", correlation.encode())]}


class Calls(Sides):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        sides.create("sunk.end")  # Faust does not create topics that it only sends to
        cls.ours()
        cls.peer()

    def comes_out_once(self, number):
        """The number arrives once at the end of the sinks."""
        wait_for(lambda: str(number).encode() in [record.value for record in sides.records("sunk.end")],
                 f"{number} in sunk.end")
        self.assertEqual([record.value for record in sides.records("sunk.end")].count(str(number).encode()), 1)

    def check_calls_of_python(self, way, number):
        sides.create(f"answers.{way}")
        got = json.loads(self.output(sys.executable, sides.HERE / "caller.py", way, f"answers.{way}", number))
        self.assertIsNone(got.pop("refuse"))  # Faust has no errors in its answers: it reads one of ours as None
        self.assertEqual(got,
                         {"square": 49, "shout": "STRAßE", "ping": None, "turn": TURNED, "grow": GROWN,
                          "map": [1, 4, 9], "join": [16, 25, 36]})
        self.assertEqual(sides.values(f"answers.{way}", 1), [answer(64, "caller")])
        self.comes_out_once(number + 2)

    def test_python_calls_our_agents_with_headers(self):
        self.check_calls_of_python("headers", 10)

    def test_python_calls_our_agents_with_envelopes(self):
        self.check_calls_of_python("envelope", 20)

    def test_we_call_pythons_agents(self):
        before = sides.topics()
        got = json.loads(self.command("call"))
        self.assertEqual(got,
                         {"square": 49, "shout": "STRASSE", "ping": None, "turn": TURNED, "grow": GROWN,
                          "map": [1, 4, 9], "join": [16, 25, 36]})
        self.assertEqual(sides.topics(), before, "a reply topic is left")

    def test_we_send_and_cast_to_pythons_agents(self):
        sides.create("answers.ours")
        self.command("send_to", "--reply-to", "answers.ours")
        self.assertEqual(sides.values("answers.ours", 1), [answer(64, "ours")])
        self.comes_out_once(33)

    def test_an_answer_waits_for_the_topic_that_faust_makes_after_asking(self):
        sides.produce("ours.square", [(b"5", asking("answers.later", "c"))])
        sides.create("answers.later")
        self.assertEqual(sides.values("answers.later", 1), [answer(25, "c")])

    def test_an_answer_to_nobody_blocks_nothing(self):
        sides.create("answers.present")
        asks = [(b"2", {**asking("answers.nobody", "n"), "partition": 0})] * 100
        asks.append((b"3", {**asking("answers.present", "p"), "partition": 0}))
        sides.produce("ours.square", asks)
        self.assertEqual(sides.values("answers.present", 1), [answer(9, "p")])
        self.assertNotIn("answers.nobody", sides.topics())

    def test_python_can_answer_when_we_have_given_up(self):
        self.assertIn("no answer on peer.wait", self.command("give_up"))
        sides.create("answers.wait")
        sides.produce("peer.wait",
                      [(b"0.0", {**asking("answers.wait", "w"), "partition": partition}) for partition in range(4)])
        self.assertEqual(sides.values("answers.wait", 4), [answer("0.0", "w")] * 4)


if __name__ == "__main__":
    unittest.main()
