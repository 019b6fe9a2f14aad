"""Rows of tables by HTTP: any worker answers for the partitions of all of them."""
import json
import signal
import unittest
import urllib.error
import urllib.request

from support import BIN, Scene, run, wait_for

SHOP = BIN.parent / "tests/page_app"
CUSTOMERS = 20
ORDERS = 200


class Queries(Scene):
    settings = ()  # for the broker

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.workers = [cls.start_shop("one"), cls.start_shop("two")]
        cls.shop("fill", "--orders", ORDERS, "--customers", CUSTOMERS)
        wait_for(lambda: cls.whole(0) and cls.whole(1), "both workers to know all")

    @classmethod
    def start_shop(cls, name):
        worker = cls.start(SHOP, "worker", "-l", "info", "--shards", 2, "--set", "web_port=0", "--set",
                           "store=memory://", "--set", "table_standby_replicas=1", "--set",
                           "broker_commit_interval=0.1s", *cls.settings, name=name)
        worker.wait_for(r" - Worker ready$")
        return worker

    @classmethod
    def shop(cls, *words):
        got = run(SHOP, *words, *cls.settings, folder=cls.folder)
        assert got.returncode == 0, got
        return got.stdout

    @classmethod
    def get(cls, worker, path):
        """The status, the headers and the JSON of the reply."""
        url = worker.wait_for(r"Web pages at (http://\S+/)$").group(1)
        try:
            with urllib.request.urlopen(url + path, timeout=20) as reply:
                return reply.status, reply.headers, json.load(reply)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers, json.load(error)

    @classmethod
    def whole(cls, number):
        status, _, reply = cls.get(cls.workers[number], "table/totals?limit=1000")
        return status == 200 and sum(row["value"]["orders"] for row in reply["rows"]) == ORDERS and reply

    def test_1_each_worker_gives_what_the_changelog_has(self):
        rows = sorted(json.loads(self.shop("table", "totals", "--json")), key=lambda row: row["key"])
        self.assertEqual(len(rows), CUSTOMERS)
        for worker in (0, 1):
            reply = self.whole(worker)
            self.assertEqual(reply["rows"], rows)
            self.assertEqual([part["partition"] for part in reply["partitions"]], [0, 1, 2, 3])
            self.assertEqual({part["state"] for part in reply["partitions"]}, {"running"})
            self.assertEqual(len({part["worker"] for part in reply["partitions"]}), 2)

    def test_2_a_key_is_found_from_each_worker(self):
        for worker in self.workers:
            for number in range(CUSTOMERS):
                status, _, reply = self.get(worker, f"table/totals/customer-{number}")
                self.assertEqual((status, len(reply["rows"])), (200, 1), reply)
                self.assertEqual(reply["rows"][0]["value"]["orders"], ORDERS // CUSTOMERS)
            status, _, reply = self.get(worker, "table/totals/nobody%20%2F")
            self.assertEqual((status, reply["error"]), (404, 'table totals has no key "nobody /"'))

    def test_3_prefix_and_limit(self):
        for worker in self.workers:
            reply = self.get(worker, "table/totals?prefix=customer-1&limit=5")[2]
            self.assertEqual([row["key"] for row in reply["rows"]],
                             ["customer-1", "customer-10", "customer-11", "customer-12", "customer-13"])
            self.assertEqual(self.get(worker, "table/totals?limit=0")[2]["rows"], [])
            self.assertEqual(self.get(worker, "table/totals?prefix=x")[2]["rows"], [])

    def test_4_what_is_wrong_is_said(self):
        for path, status, says in [("table/total", 404, 'there is no table "total"; did you mean "totals"?'),
                                   ("table/totals?limit=-1", 400, 'limit is "-1"'),
                                   ("table/totals?limit=all", 400, 'limit is "all"'),
                                   ("table/totals?window=now", 400, "table totals has no windows"),
                                   ("table/totals?consistency=eventual", 400, "there is no parameter consistency"),
                                   ("table/totals?at_least=3", 400, "at_least=PARTITION:OFFSET"),
                                   ("table/totals/x?prefix=y", 400, "there is no parameter prefix"),
                                   ("table/totals?lines=3", 400, "there is no parameter lines")]:
            got, _, reply = self.get(self.workers[0], path)
            self.assertEqual(got, status, reply)
            self.assertIn(says, reply["error"])

    def test_5_a_position_that_nobody_has_is_waited_for(self):
        reply = self.whole(0)
        part = reply["partitions"][2]
        self.assertEqual(self.get(self.workers[1], f"table/totals?at_least=2:{part['position']}")[0], 200)
        status, headers, reply = self.get(self.workers[1], f"table/totals?at_least=2:{part['position'] + 1}")
        self.assertEqual((status, headers["Retry-After"], reply["partitions"]), (503, "1", [2]))
        self.assertIn("partition 2", reply["error"])

    def test_6_standbys_answer_when_asked_to(self):
        killed, other = self.workers

        def followed():
            reply = self.get(other, "table/totals?local=true&consistency=standby")[2]
            parts = {part["partition"]: part for part in reply["partitions"]}
            return len(parts) == 4 and all(part["lag"] == 0 for part in parts.values())
        wait_for(followed, lambda: self.get(other, "table/totals?local=true&consistency=standby"))
        before = self.whole(1)["rows"]
        killed.signal(signal.SIGSTOP)  # it has its partitions still, and does not answer
        status, _, reply = self.get(other, "table/totals?limit=1000&consistency=standby&max_lag=0")
        self.assertEqual((status, reply.get("rows")), (200, before), reply)
        status, headers, reply = self.get(other, "table/totals?limit=1000")
        if status == 200:  # its partitions have moved already
            self.assertEqual(reply["rows"], before)
        else:
            self.assertEqual((status, headers["Retry-After"]), (503, "1"))
        killed.signal(signal.SIGKILL)
        killed.signal(signal.SIGCONT)
        killed.wait()
        wait_for(lambda: self.get(other, "table/totals")[0] == 200, lambda: self.get(other, "table/totals"))
        self.assertEqual(self.whole(1)["rows"], before)
        self.assertEqual({part["state"] for part in self.whole(1)["partitions"]}, {"running"})


if __name__ == "__main__":
    unittest.main()
