"""Horton's messages about a server that is unreachable, is not a MongoDB, or refuses access. Each is one message
within ten seconds, without the password."""
import socket
import threading
import unittest

from bad_input import BadInput, add_tests, failure, usage
from mongo_guard import PASSWORD, Guard, port_of, server


class Garbage:
    """A server whose answers are not messages of MongoDB."""

    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            with connection:
                try:
                    connection.recv(1 << 16)
                    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                except OSError:
                    pass


def mongo(*lines):
    return "service:\n  apikey: k\nmongo:\n" + "".join(f"  {line}\n" for line in lines)


USER = ["username: admin", f"password: {PASSWORD}"]
URL = f"mongodb://admin:{PASSWORD}@"
BAD = [
    failure("nobody at the port", "collect --symbol A", "127.0.0.1:1", "cannot be reached", "mongo.port",
            config=mongo("host: 127.0.0.1", "port: 1", *USER), limit=10),
    failure("nobody at the port, a worker", "worker -q -l error", "127.0.0.1:1", "cannot be reached", "mongo.port",
            config=mongo("host: 127.0.0.1", "port: 1", *USER), limit=10),
    failure("a host that is not there", "collect --symbol A", "no-such-host.invalid", "resolve", "mongo.host",
            config=mongo("host: no-such-host.invalid", *USER), limit=10),
    failure("a user without a password", "collect --symbol A", "mongo.username", "HORTON_MONGO_PASSWORD",
            config=mongo("host: 127.0.0.1", "username: admin")),
    failure("SQLite and MongoDB at once", "collect --symbol A", "documents", "mongo.host",
            config="documents: x.db\n" + mongo("host: 127.0.0.1")),
    usage("a host that is not a host name", "collect --symbol A", "config.yml:4", "mongo.host", '"a b"',
          config=mongo("host: a b")),
    usage("a URL for a host", "collect --symbol A", "mongo.host", "mongo.url",
          config=mongo("host: mongodb://localhost")),
    usage("an impossible port", "collect --symbol A", "mongo.port", '"99999"', "65535",
          config=mongo("host: localhost", "port: 99999")),
    usage("an impossible database name", "collect --symbol A", "mongo.database", "at most 63 characters",
          config=mongo("host: localhost", "database: a/b")),
    usage("a URL of nonsense", "collect --symbol A", "mongo.url", "mongodb://HOST:PORT", config=mongo("url: nonsense")),
    usage("a URL of another scheme", "collect --symbol A", "mongo.url", "mongodb://",
          config=mongo("url: http://localhost/")),
    usage("a URL without a host", "collect --symbol A", "mongo.url", "host", config=mongo(f"url: {URL}")),
    usage("a URL with an @ in the password", "collect --symbol A", "mongo.url", "%40",
          config=mongo(f"url: {URL}x@localhost/")),
    usage("a URL with a misspelt option", "collect --symbol A", "mongo.url", "tsl",
          config=mongo(f"url: {URL}localhost/?tsl=true")),
    usage("a URL with a bad number", "collect --symbol A", "mongo.url", "connecttimeoutms",
          config=mongo(f"url: {URL}localhost/?connectTimeoutMS=soon")),
    usage("environment: URL", "collect --symbol A", "HORTON_MONGO_URL", "mongodb://",
          env={"HORTON_MONGO_URL": f"mongo://{PASSWORD}@x"}),
]


class BadMongo(BadInput):
    def check_message(self, got, code, says):
        super().check_message(got, code, says)
        self.assertNotIn(PASSWORD, got.stderr)

    def test_garbage(self):
        garbage = Garbage()
        self.addCleanup(garbage.socket.close)
        for name in ("collect --symbol A", "worker -q -l error"):
            with self.subTest(name):
                self.try_case(failure(f"garbage {name}", name, f"127.0.0.1:{garbage.port}", "cannot be reached",
                                      config=mongo("host: 127.0.0.1", f"port: {garbage.port}", *USER), limit=10))

    def test_wrong_password(self):
        place = self.folder / "server"
        port = port_of(server("start", place))
        self.addCleanup(server, "stop", place)
        guard = Guard(port, "admin", "another-one")
        self.addCleanup(guard.close)
        for name in ("collect --symbol A", "worker -q -l error"):
            with self.subTest(name):
                self.try_case(failure(f"password {name}", name, "refuses access", "Authentication failed",
                                      "mongo.password", config=mongo("host: 127.0.0.1", f"port: {guard.port}", *USER),
                                      limit=10))
        with self.subTest("no user"):
            self.try_case(failure("no user", "collect --symbol A", "refuses access", "requires authentication",
                                  "mongo.username", config=mongo("host: 127.0.0.1", f"port: {guard.port}"), limit=10))


add_tests(BadMongo, BAD)


if __name__ == "__main__":
    unittest.main()
