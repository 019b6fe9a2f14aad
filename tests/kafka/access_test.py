"""TLS, passwords, tokens and rights, on a broker that demands them: which clients are let in, and what the others are
told."""
import json
import os
import time
import unittest

from cluster import KAFKA_ACLS, KAFKA_TOPICS, TESTS, Cluster, properties
from bad_input import BadInput
from raw import Client
from support import HORTON, MEPHISTO, run, wait_for

WORKER = ("worker", "-q", "-l", "error", "--set", "shards=1", "--set", "service.apikey=none")
SECONDS = 10  # seconds within which an error is reported


def setUpModule():
    global cluster, secret
    cluster = Cluster("--version", "3.9", "--secure")  # librdkafka before 2.6.1 cannot log in to Kafka 4 by SCRAM
    secret = cluster.folder / "cluster/secret"


class Access(BadInput):
    def ask(self, listener, *words, host="127.0.0.1", env=None, program=HORTON, **given):
        """Runs the command on the cluster through one of its listeners."""
        servers = cluster.servers[listener].replace("127.0.0.1", host)
        return run(program, "--log", f"kafka://{servers}", *properties(**given), *words, folder=self.folder, env=env,
                   limit=20)

    def let_in(self, *how, **given):
        got = self.ask(*how, "--json", "topics", **given)
        self.assertEqual((got.returncode, got.stderr), (0, ""), got)
        self.assertIsInstance(json.loads(got.stdout), list)

    def refused(self, *says, listener, words=("topics",), **given):
        started = time.monotonic()
        got = self.ask(listener, *words, **given)
        self.assertLess(time.monotonic() - started, SECONDS)
        self.check_message(got, 1, says)
        self.assertNotRegex(got.stdout + got.stderr, "opensesame|[a-z]+-secret\\b")

    @staticmethod
    def tls():
        return {"security_protocol": "SSL", "ssl_ca_location": secret / "ca.pem"}

    @staticmethod
    def certificate():
        return {"ssl_certificate_location": secret / "client.pem", "ssl_key_location": secret / "client.key"}

    @staticmethod
    def sasl(mechanism, user="admin", password="admin-secret"):
        return {"security_protocol": "SASL_SSL", "ssl_ca_location": secret / "ca.pem", "sasl_mechanism": mechanism,
                "sasl_username": user, "sasl_password": password}


class Tls(Access):
    def test_a_client_with_a_certificate_is_let_in(self):
        self.let_in("tls", **self.tls(), **self.certificate())

    def test_a_client_without_a_certificate_is_refused(self):
        self.refused("cannot log in to Kafka", "alert", "ssl.certificate.location", listener="tls", **self.tls())

    def test_a_broker_that_nobody_vouches_for_is_not_trusted(self):
        self.refused("certificate verify failed", "ssl.ca.location", listener="tls", security_protocol="SSL",
                     **self.certificate())

    def test_a_certificate_for_another_host_is_not_trusted(self):
        self.refused("localhost", "certificate verify failed", "another host", listener="tls", host="localhost",
                     **self.tls(), **self.certificate())

    def test_a_certificate_for_another_host_is_trusted_if_hosts_are_not_compared(self):
        self.let_in("tls", host="localhost", ssl_endpoint_identification_algorithm="none", **self.tls(),
                    **self.certificate())

    def test_a_file_that_is_not_there(self):
        self.refused("ssl.ca.location is /nowhere/ca.pem", listener="tls", security_protocol="SSL",
                     ssl_ca_location="/nowhere/ca.pem")

    def test_plaintext_to_a_listener_with_tls_is_refused(self):
        self.refused("no broker", cluster.servers["tls"], "security.protocol", listener="tls")

    def test_tls_to_a_listener_without_it_is_refused(self):
        self.refused("cannot log in", cluster.servers["plain"], "SSL handshake failed", listener="plain", **self.tls())


class Password(Access):
    def test_the_right_password_is_let_in(self):
        for mechanism in ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"):
            with self.subTest(mechanism):
                self.let_in("sasl", **self.sasl(mechanism))

    def test_the_wrong_password_is_refused(self):
        for mechanism in ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"):
            with self.subTest(mechanism):
                self.refused("cannot log in to Kafka", "uthentication failed", listener="sasl",
                             **self.sasl(mechanism, password="opensesame"))

    def test_an_unknown_user_is_refused(self):
        self.refused("cannot log in to Kafka", "SCRAM-SHA-256", listener="sasl",
                     **self.sasl("SCRAM-SHA-256", user="nobody"))

    def test_a_worker_with_the_wrong_password_ends(self):
        self.refused("cannot log in to Kafka", listener="sasl", words=WORKER,
                     **self.sasl("SCRAM-SHA-256", password="opensesame"))

    def test_a_mechanism_that_the_broker_does_not_know_is_refused(self):
        self.refused("Unsupported SASL mechanism", listener="sasl", **self.sasl("SCRAM-SHA-1"))

    def test_from_the_environment_or_a_file(self):
        given = self.sasl("SCRAM-SHA-256")
        del given["sasl_password"]
        file = self.folder / "password"
        file.write_text("admin-secret\n")
        for env in ({"HORTON_KAFKA_PROPERTIES_SASL_PASSWORD": "admin-secret"},
                    {"HORTON_KAFKA_PROPERTIES_SASL_PASSWORD_FILE": str(file)}):
            self.let_in("sasl", env=env, **given)
            shown = self.ask("sasl", "config", env=env, **given)
            self.assertEqual(shown.returncode, 0, shown)
            self.assertIn("***", shown.stdout)
            self.assertNotIn("admin-secret", shown.stdout)


class Token(Access):
    """token_app makes tokens for the user TEST_TOKEN_USER that are valid for TEST_TOKEN_SECONDS. With TEST_TOKEN_ERROR
    it fails."""

    def setUp(self):
        self.given = {**self.sasl("OAUTHBEARER"), "program": TESTS / "token_app"}
        del self.given["sasl_username"], self.given["sasl_password"]

    def test_the_owner_of_a_token_is_let_in(self):
        self.let_in("sasl", env={"TEST_TOKEN_USER": "admin"}, **self.given)

    def test_a_token_is_renewed_before_it_expires(self):
        got = self.ask("sasl", "second-token", env={"TEST_TOKEN_USER": "admin", "TEST_TOKEN_SECONDS": "3"},
                       **self.given)
        self.assertEqual((got.returncode, got.stderr), (0, ""))

    def test_an_expired_token_is_refused(self):
        self.refused("cannot log in to Kafka", listener="sasl",
                     env={"TEST_TOKEN_USER": "admin", "TEST_TOKEN_SECONDS": "-10"}, **self.given)

    def test_the_reason_why_there_is_no_token_is_said(self):
        self.refused("cannot log in to Kafka", "the bank is closed", listener="sasl",
                     env={"TEST_TOKEN_ERROR": "the bank is closed"}, **self.given)

    def test_an_app_that_makes_no_tokens_is_refused(self):
        self.refused("OAUTHBEARER", "App::log_token", listener="sasl", **{**self.given, "program": HORTON})


class Transactions(Access):
    """`transactions` over TLS with a password or a certificate knows where transactions start, and no more. Only
    Kafka's own tool ends them there."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cluster.tool(KAFKA_TOPICS, "--create", "--topic", "secured", "--partitions", "2")
        cls.client = Client(int(cluster.servers["plain"].rpartition(":")[2]), "at-work")

    def ways_in(self):
        yield "sasl", self.sasl("SCRAM-SHA-256")
        yield "sasl", self.sasl("PLAIN")
        yield "tls", {**self.tls(), **self.certificate()}

    def listed(self, listener, given):
        got = self.ask(listener, "--json", "transactions", program=MEPHISTO, **given)
        self.assertEqual((got.returncode, got.stderr), (0, ""), got)
        return [(row["topic"], row["partition"], row["start"], row["hangs"]) for row in json.loads(got.stdout)]

    def test_one_that_is_open_is_listed_until_it_ends(self):
        cluster.tool(KAFKA_ACLS, "--add", "--force", "--allow-principal", "User:*", "--operation", "Describe",
                     "--topic", "secured")  # for the certificate's user
        self.client.begin("secured", 1)
        start = self.client.write("secured", 1, b"{}")
        for listener, given in self.ways_in():
            with self.subTest(listener, **given):
                self.assertEqual(self.listed(listener, given), [("secured", 1, start, "")])
                self.refused("only Kafka's own tool", "kafka-transactions.sh", f"{cluster.servers[listener]} abort",
                             f"--topic secured --partition 1 --start-offset {start}", listener=listener,
                             words=("transactions", "end", "secured/1", str(start)), program=MEPHISTO, **given)
        self.client.end(True)
        for listener, given in self.ways_in():
            wait_for(lambda how=(listener, given): self.listed(*how) == [], "the end of the transaction")


class Rights(Access):
    """`clerk` may do what the ACLs of each test allow."""

    def clerk(self):
        return self.sasl("SCRAM-SHA-256", "clerk", "clerk-secret")

    def allow(self, *what):
        cluster.tool(KAFKA_ACLS, "--add", "--force", "--allow-principal", "User:clerk", *what)

    def test_1_nothing_may_be_made(self):
        self.refused("topic collect_securities", "uthorization failed", "the right", listener="sasl",
                     words=("send", "@collect_securities"), **self.clerk())
        self.refused("topic collect_securit", "uthorization failed", "the right", listener="sasl", words=WORKER,
                     **self.clerk())

    def test_2_what_may_be_read_only_is_not_written(self):
        self.assertEqual(self.ask("plain", "send", "@collect_securities").returncode, 0)
        self.allow("--operation", "Read", "--topic", "collect_securities")
        self.refused("cannot append to collect_securities", "uthorization failed", "the right", listener="sasl",
                     words=("-l", "crit", "send", "@collect_securities"), **self.clerk())

    def test_3_a_group_that_may_not_be_joined_ends_the_worker(self):
        self.allow("--operation", "All", "--topic", "*")
        self.refused("group horton", "roup authorization failed", "the right", listener="sasl", words=WORKER,
                     **self.clerk())

    def test_4_with_all_rights_the_worker_works(self):
        self.allow("--operation", "All", "--topic", "*", "--group", "horton")
        self.config(self.start_market(), "shards: 1\nbroker_commit_interval: 50ms\n")
        worker = self.start_worker("--log", f"kafka://{cluster.servers['sasl']}", *properties(**self.clerk()))
        sent = self.ask("sasl", "send", "@collect_security_overview", '{"symbol":"IBM","exchange":"NYSE"}',
                        **self.clerk())
        self.assertEqual(sent.returncode, 0, sent)
        wait_for(lambda: "IBM" in self.ask("plain", "security", "IBM").stdout,
                 lambda: f"what was collected:\n{worker.stderr[-2000:]}")
        worker.end()


class Address(Access):  # the first test: there are no topics yet
    def test_where_nobody_answers(self):
        started = time.monotonic()
        self.check_message(run(HORTON, "--log", "kafka://127.0.0.1:1", "topics", folder=self.folder), 1,
                           ["no broker", "127.0.0.1:1", "Connection refused"])
        self.assertLess(time.monotonic() - started, SECONDS)

    def test_a_host_that_there_is_not(self):
        started = time.monotonic()
        self.check_message(run(HORTON, "--log", "kafka://nowhere.invalid", "topics", folder=self.folder), 1,
                           ["no broker", "nowhere.invalid", "resolve"])
        self.assertLess(time.monotonic() - started, SECONDS)

    def test_one_of_several_servers_is_enough(self):
        got = run(HORTON, "--log", f"kafka://127.0.0.1:1;kafka://{cluster.servers['plain']}", "topics",
                  folder=self.folder)
        self.assertEqual((got.returncode, got.stderr), (0, ""))

    def test_more_replicas_than_brokers(self):
        self.check_message(run(HORTON, "--log", cluster.url, "--set", "topic_replication_factor=3", "send",
                               "replicated", folder=self.folder, env={}), 2, ["replicated"])
        got = run(HORTON, "--log", cluster.url, "--set", "topic_replication_factor=3", *WORKER, folder=self.folder)
        self.check_message(got, 1, ["cannot create topic", "eplication factor"])


if __name__ == "__main__":
    unittest.main()
