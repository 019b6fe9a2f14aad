"""The general tool: with an app from a library, and on a log without an app."""
import json
import signal
import unittest

from support import LIBHORTON, MEPHISTO, PARTITIONS, Scene, run


class Tool(Scene):
    """The general tool, with an app from a library and on a log without an app."""

    def setUp(self):
        self.config("http://127.0.0.1:1/")  # no server is needed

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
        self.assertEqual(len(json.loads(tool("lag", "--json"))), PARTITIONS)
        place = json.loads(tool("send", "horton-__assignor-__leader", "by hand"))
        self.assertEqual(place["partition"], 0)
        *_, record = json.loads(tool("topic", "horton-__assignor-__leader", "--json"))
        self.assertEqual((record["offset"], record["value"]), (place["offset"], "by hand"))
        self.assertEqual(json.loads(tool("dlq", "list", "--json")), [])


if __name__ == "__main__":
    unittest.main()
