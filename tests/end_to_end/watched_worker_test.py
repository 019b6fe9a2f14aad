"""What a worker reports about a handler that keeps its thread, and about requests that name a forbidden topic for the
reply: in its log, `why`, and its status."""
import json
import re
import socket
import unittest

from support import BIN, Scene, run, wait_for

KEEPER = BIN.parent / "tests/keeper_app"


class WatchedWorker(Scene):
    def keeper(self, *words):
        got = run(KEEPER, *words, folder=self.folder)
        self.assertEqual((got.returncode, got.stderr), (0, ""), got)
        return got.stdout

    def status(self, worker):
        """The worker's answer to a command."""
        path = next((self.folder / "keeper-data/v1/workers").glob(f"*-{worker.pid}.sock"))
        with socket.socket(socket.AF_UNIX) as asked:
            asked.connect(str(path))
            asked.sendall(b"status\n")
            return json.loads(b"".join(iter(lambda: asked.recv(1 << 16), b"")))

    def start_keeper(self):
        worker = self.start(KEEPER, "worker", "--shards", "2", name="keeper")
        worker.wait_for(r" - Worker ready$")
        self.addCleanup(worker.end)
        return worker

    def test_a_handler_that_keeps_its_thread_is_named(self):
        worker = self.start_keeper()
        self.keeper("send", "pauses", "9000")
        said = worker.wait_for(r"\| WARNING +\| .* - Agent keeper_agent has kept its thread \(\S+:\d+:([01])\) for [23]\.\d s: nothing else runs there meanwhile")
        reasons = [reason["text"] for row in json.loads(self.keeper("why", "--json")) for reason in row["reasons"]]
        self.assertTrue(any(re.search(rf":{said.group(1)} does not answer: keeper_agent keeps its thread",
                                      reason) for reason in reasons), reasons)
        kept, = self.status(worker)["kept_threads"]
        self.assertEqual((kept["task"], kept["times"]), ("keeper_agent", 1))
        self.assertGreaterEqual(kept["now_ms"], 2000)
        wait_for(lambda: self.status(worker)["kept_threads"][0]["now_ms"] is None, "the handler to be done")
        kept, = self.status(worker)["kept_threads"]
        self.assertTrue(7000 <= kept["longest_ms"] <= 12000, kept)
        self.assertEqual(worker.stderr.count("has kept its thread"), 1, "one event is told once")

    def test_answers_to_foreign_topics_are_reported_once_and_counted(self):
        worker = self.start_keeper()
        self.assertEqual(self.status(worker)["refused_replies"], 0)
        request = {"value": 0, "reply_to": "acc\x1bounts", "correlation_id": "c", "__faust": {"ns": "@ReqRepRequest"}}
        for partition in range(8):
            self.keeper("send", "pauses", json.dumps(request), "--partition", str(partition))
        wait_for(lambda: self.status(worker)["refused_replies"] == 8,
                 lambda: f"8 refused: {self.status(worker)['refused_replies']}")
        self.assertEqual(len(re.findall(r"names topic acc\S+ounts for its answer, .*reply_to_topics", worker.stderr)),
                         1, worker.stderr)
        self.assertNotIn("\x1b", worker.stderr)


if __name__ == "__main__":
    unittest.main()
