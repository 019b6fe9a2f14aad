"""A worker on a broker with Kafka's own limits. The broker stops and comes back, and other programs change its topics.
Also the bad input of a log, here on Kafka."""
import json
import re
import signal
import unittest

from cluster import KAFKA_DELETE_RECORDS, KAFKA_TOPICS, TESTS, Cluster
import bad_records_test
from bad_input import BadInput, add_tests, usage
from support import MEPHISTO, Scene, run, wait_for

AWAY = r"WARNING .*no broker .*can be reached"


def setUpModule():
    global cluster
    cluster = Cluster("--strict")


class OnKafka(Scene):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.config(cls.start_market(), f"broker: {cluster.url}\nshards: 1\nbroker_commit_interval: 50ms\n")

    def send(self, *where):
        sent = self.horton("send", "collect_security_overview", '{"symbol":"IBM","exchange":"NYSE"}', *where)
        self.assertEqual(sent.returncode, 0, sent)
        return json.loads(sent.stdout)

    def collect(self, worker, *where):
        """A record that is sent now is processed."""
        place = self.send(*where)
        done = (place["topic"], place["partition"], place["offset"] + 1)
        wait_for(lambda: any((row["topic"], row["partition"], row["committed"]) == done for row in self.rows("lag")),
                 lambda: f"{done} to be committed:\n{worker.stderr[-3000:]}")

    def members(self):
        return [row["member"] for row in self.rows("groups") if row["group"] == "horton" and row["member"]]

    def stop(self, worker):
        worker.signal(signal.SIGTERM)
        self.assertEqual(worker.wait(), 0, worker.stderr[-3000:])


class Broker(OnKafka):
    def test_1_a_worker_waits_for_an_unreachable_broker_and_says_so_once(self):
        cluster.kill()
        worker = self.start_worker(ready=False)
        worker.wait_for(AWAY)
        cluster.start()
        worker.wait_for(r" - Worker ready$")
        self.collect(worker)
        self.assertEqual(len(re.findall(AWAY, worker.stderr)), 1, worker.stderr)

        # A session of 2 s is too short for this broker.
        self.assertEqual(len(re.findall("refuse a session timeout as short as 2.*; using 6", worker.stderr)), 1, worker.stderr)

        cluster.kill()
        worker.wait_for(rf"(?s){AWAY}.*{AWAY}")
        cluster.start()
        self.collect(worker)
        # at the start, `Worker ready` says so
        self.assertEqual(len(re.findall("a broker answers again", worker.stderr)), 1, worker.stderr)
        self.assertEqual(len(re.findall(AWAY, worker.stderr)), 2, worker.stderr)
        self.stop(worker)

    def test_2_new_partitions_are_picked_up(self):
        worker = self.start_worker()
        cluster.tool(KAFKA_TOPICS, "--alter", "--topic", "collect_security_overview", "--partitions", "9")
        worker.wait_for(r"collect_security_overview +│ +\{0-8\} +│")
        self.collect(worker, "--partition", "8")
        self.stop(worker)

    def test_3_a_topic_whose_number_of_partitions_nobody_declared_is_taken_as_it_is(self):
        worker = self.start_worker()
        worker.wait_for(r"collect_security_overview +│ +\{0-8\} +│")
        self.stop(worker)

    def test_4_a_topic_that_is_deleted_and_made_again_is_read_from_its_start(self):
        cluster.tool(KAFKA_TOPICS, "--delete", "--topic", "collect_security_overview")
        worker = self.start_worker()
        self.collect(worker)
        self.stop(worker)

    def test_5_a_topic_that_is_deleted_under_a_worker_is_reported_and_read_when_it_is_created_again(self):
        worker = self.start_worker()
        self.collect(worker)
        cluster.tool(KAFKA_TOPICS, "--delete", "--topic", "collect_security_overview")
        worker.wait_for(r"ERROR .*Group horton: .*collect_security_overview.*Was it deleted\? Its readers wait until it is created again")
        cluster.tool(KAFKA_TOPICS, "--create", "--topic", "collect_security_overview", "--partitions", "8")
        self.collect(worker)
        self.assertEqual(len(re.findall("Was it deleted", worker.stderr)), 1, worker.stderr)
        self.stop(worker)

    def test_6_records_that_are_gone_before_they_are_read_are_reported_and_left_out(self):
        worker = self.start_worker("--set", "broker_session_timeout=30s")
        self.collect(worker, "--partition", "3")
        worker.signal(signal.SIGSTOP)  # what it has already requested from the broker contains the first of these
        last = [self.send("--partition", "3")["offset"] for _ in range(4)][-1]
        wanted = self.folder / "delete.json"
        wanted.write_text(json.dumps({
            "version": 1, "partitions": [{"topic": "collect_security_overview", "partition": 3, "offset": last}]}))
        cluster.tool(KAFKA_DELETE_RECORDS, "--offset-json-file", wanted)
        worker.signal(signal.SIGCONT)
        worker.wait_for(rf"WARNING .*collect_security_overview/3: the records from \d+ to {last - 1} are gone "
                        rf"\(retention\); going on at {last}")
        self.collect(worker, "--partition", "3")
        self.stop(worker)


class Lag(OnKafka):
    def test_it_has_the_age_of_the_oldest_record_of_every_partition(self):
        worker = self.start_worker()
        self.collect(worker)
        self.stop(worker)
        sent = [self.send("--partition", partition)["partition"] for partition in range(8)]
        behind = {row["partition"]: row for row in self.rows("lag", "--group", "horton") if row["lag"]}
        self.assertEqual(sorted(behind), sent)
        for row in behind.values():
            self.assertEqual(row["lag"], 1)
            self.assertGreater(row["oldest_unacknowledged"], 0)

    def test_a_compacted_topic_refuses_a_record_without_a_key_and_says_why(self):
        cluster.tool(KAFKA_TOPICS, "--create", "--topic", "compacted", "--config", "cleanup.policy=compact")
        refused = self.horton("send", "compacted", "1")
        self.assertEqual(refused.returncode, 1)
        self.assertIn("the topic may be compacted, and then takes no record without a key: give it one", refused.stderr)


class Members(OnKafka):
    def test_a_worker_that_stops_leaves_its_group(self):
        worker = self.start_worker()
        wait_for(self.members, "the worker to join")
        self.stop(worker)
        self.assertEqual(self.members(), [])

    def test_one_with_a_name_of_its_own_is_waited_for(self):
        named = ("--set", "consumer_group_instance_id=one", "--set", "broker_session_timeout=10s")
        worker = self.start_worker(*named)
        self.collect(worker)
        before = self.members()
        self.stop(worker)
        self.assertEqual(self.members(), before)
        again = self.start_worker(*named)
        self.collect(again)
        other = self.start_worker(*named, ready=False)
        self.assertEqual(again.wait(), 1)
        self.assertRegex(again.stderr, r"(?m)^Error: group horton .*group.instance.id")
        self.collect(other)
        self.stop(other)


class Latest(Scene):
    """A group that begins at the end of the existing records."""

    def tool(self, *words):
        got = run(MEPHISTO, "--log", cluster.url, *words, folder=self.folder)
        self.assertEqual((got.returncode, got.stderr), (0, ""), got)
        return got.stdout

    def send(self, partition, number):
        self.tool("send", "in", json.dumps({"producer": "p", "key": "k", "seq": number}), "--partition", partition)

    def copied(self):
        """The numbers of the records that the worker has read."""
        if not any(row["topic"] == "out" for row in json.loads(self.tool("--json", "topics"))):
            return []
        return sorted(json.loads(line)["value"]["seq"]
                      for line in self.tool("topic", "out", "--limit", "0").splitlines())

    def test_what_was_there_is_left_out_but_not_what_comes_to_a_partition_that_is_added(self):
        cluster.tool(KAFKA_TOPICS, "--create", "--topic", "in", "--partitions", "8")
        for partition in range(8):
            self.send(partition, partition)
        settings = ["--set", f"broker={cluster.url}", "--set", "consumer_auto_offset_reset=latest", "--set",
                    "broker_commit_interval=50ms"]
        worker = self.start(TESTS / "chaos_app", *settings, "worker", "--without-web", "-l", "info", "--shards", "2",
                            name="worker")
        worker.wait_for(r"in +│ +\{0-7\} +│")
        self.send(3, 100)
        wait_for(lambda: self.copied() == [100],
                 lambda: f"the record that came later: {self.copied()}\n{worker.stderr[-3000:]}")
        cluster.tool(KAFKA_TOPICS, "--alter", "--topic", "in", "--partitions", "10")
        self.send(8, 108)
        self.send(9, 109)
        wait_for(lambda: self.copied() == [100, 108, 109],
                 lambda: f"those of the new partitions: {self.copied()}\n{worker.stderr[-3000:]}")
        worker.signal(signal.SIGTERM)
        self.assertEqual(worker.wait(), 0)
class DeadLetters(OnKafka):
    def test_one_that_is_replayed_goes_to_the_agent_that_failed_and_is_committed(self):
        for guarantee in ("at_least_once", "exactly_once"):
            worker = self.start_worker("--set", f"processing_guarantee={guarantee}")
            self.assertRegex(worker.stdout, r"transport +│ kafka \(librdkafka\)")
            wait_for(lambda: self.horton("dlq", "list").returncode == 0, "the broker's coordinator to be there")
            letters = len(self.rows("dlq", "list"))
            self.assertEqual(self.horton("send", "collect_security_overview", f"bad {guarantee}", "--partition",
                                         "5").returncode, 0)
            wait_for(lambda: len(self.rows("dlq", "list")) == letters + 1, "a dead letter")
            number = str(self.rows("dlq", "list")[-1]["number"])
            self.assertEqual(self.horton("dlq", "replay", "collect_security_overview", number).stdout,
                             "Replayed 1 dead letter of horton-collect_security_overview-dlq\n")
            wait_for(lambda: [row for row in self.rows("dlq", "list") if row["number"] > int(number)],
                     "the dead letter of the replayed record")
            replayed = self.rows("topic", "collect_security_overview", "--partition", "5", "-n", "0")[-1]
            self.assertEqual(replayed["headers"],
                             {"x-replayed-from": f"horton-collect_security_overview-dlq/0@{number}",
                              "x-only-for": "horton/collect_security_overview@collect_security_overview"})
            # Even with transaction markers at its end.
            wait_for(lambda: all(row["lag"] == 0 for row in self.rows("lag") if row["group"] == "horton"),
                     lambda: f"all to be committed: {self.rows('lag')}")
            end = next(row["end"] for row in self.rows("lag")
                       if (row["topic"], row["partition"]) == ("collect_security_overview", 5))
            self.assertEqual(self.horton("why", "collect_security_overview/5").stdout,
                             f"collect_security_overview/5  is done up to its end, {end}\n")
            self.stop(worker)


class BadRecords(bad_records_test.WithWorker):
    """The cases of bad_records_test.py for a log of ours."""

    @classmethod
    def config(cls, url, more="", folder=None):
        super().config(url, f"broker: {cluster.url}\nshards: 1\n{more}", folder)


class BadCommands(BadInput):
    """The cases of bad_command_line_test.py that use a log."""

    def try_on_kafka(self, case):
        case.args = ["--log", cluster.url, *case.args]
        self.try_case(case)


add_tests(BadCommands, [
    usage("send to a topic that is not there", "send nope 1", "nope", "@AGENT"),
    usage("send to a partition that is not there", "send collect_securities {} --partition 99", "collect_securities",
          "0 to 7", "99"),
    usage("topic that is not there", "topic nope", "nope", "horton topics"),
    usage("dead letters that do not exist", "dlq list nope", "nope", "horton dlq list"),
    usage("why of a topic that is not read", "why nope/1", "nope/1"),
    usage("reset of a group in nothing", "lag --reset", "--reset", "value"),
    usage("mephisto: send to a topic that is not there", "send nope 1", "nope", program=MEPHISTO),
    usage("mephisto: agent without app", "send @collect_securities", "@collect_securities", "-A", program=MEPHISTO),
    usage("mephisto: topic that is not there", "topic nope", "nope", "mephisto topics", program=MEPHISTO),
], BadCommands.try_on_kafka)


if __name__ == "__main__":
    unittest.main()
