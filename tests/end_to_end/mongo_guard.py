"""Servers for documents, and a guard in front of a server without users. Like MongoDB, the guard demands SCRAM-SHA-256
from a client before it lets anything through."""
import base64
import hashlib
import hmac
import os
import re
import socket
import socketserver
import struct
import subprocess
import threading

from support import ROOT

OP_REPLY, OP_QUERY, OP_MSG = 1, 2004, 2013
OPEN_TO_ALL = {"hello", "isMaster", "ismaster", "ping", "endSessions"}
ROUNDS = 4096
PASSWORD = "not-to-be-shown-either"


def encode(document):
    body = b""
    for name, value in document.items():
        kind, data = {bool: lambda v: (8, bytes([v])), int: lambda v: (16, struct.pack("<i", v)),
                      float: lambda v: (1, struct.pack("<d", v)),
                      str: lambda v: (2, struct.pack("<i", len(v.encode()) + 1) + v.encode() + b"\0"),
                      bytes: lambda v: (5, struct.pack("<iB", len(v), 0) + v)}[type(value)](value)
        body += bytes([kind]) + name.encode() + b"\0" + data
    return struct.pack("<i", len(body) + 5) + body + b"\0"


def decode(data):
    """The fields of a document whose types occur in authentication commands; others are left out."""
    fields, at = {}, 4
    while data[at] != 0:
        kind, end = data[at], data.index(0, at + 1)
        name, at = data[at + 1:end].decode(), end + 1
        size = {1: 8, 7: 12, 8: 1, 9: 8, 10: 0, 16: 4, 17: 8, 18: 8}.get(kind)
        if kind == 2:
            size = 4 + struct.unpack_from("<i", data, at)[0]
            fields[name] = data[at + 4:at + size - 1].decode()
        elif kind == 5:
            size = 5 + struct.unpack_from("<i", data, at)[0]
            fields[name] = data[at + 5:at + size]
        elif kind in (3, 4):
            size = struct.unpack_from("<i", data, at)[0]
            fields.setdefault(name, None)
        else:
            fields.setdefault(name, None)
        at += size
    return fields


def with_field(document, name, texts):
    """The document with an array of texts added at its end."""
    array = encode({str(place): text for place, text in enumerate(texts)})
    longer = document[4:-1] + b"\x04" + name.encode() + b"\0" + array + b"\0"
    return struct.pack("<i", len(longer) + 4) + longer


def receive(connection):
    head = connection.recv(16, socket.MSG_WAITALL)
    if len(head) < 16:
        return None
    size = struct.unpack_from("<i", head)[0]
    return head + connection.recv(size - 16, socket.MSG_WAITALL)


def server(command, place, *options):
    """Runs dev/mongo for the server in the folder `place`."""
    return subprocess.run([ROOT / "dev/mongo", command, "--dir", place, *options], check=True, stdout=subprocess.PIPE,
                          text=True).stdout.strip()


class WithServer:
    """For a Scene: a server without users for all tests of the class."""

    server_options = ()

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server = cls.folder / "server"
        cls.url = server("start", cls.server, *cls.server_options)
        cls.addClassCleanup(server, "stop", cls.server)

    def port(self):
        return port_of(self.url)


def port_of(url):
    return int(re.search(r":(\d+)/", url).group(1))


class Guard:
    """Listens at 127.0.0.1:`port`; `server` is the port of the guarded server."""

    def __init__(self, server, username, password):
        self.server, self.username, self.password = server, username, password
        self.mechanisms = []  # the mechanisms that clients asked for
        guard = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                try:
                    Connection(guard, self.request).serve()
                except OSError:
                    pass  # one of them closed

        socketserver.ThreadingTCPServer.allow_reuse_address = True
        self.listening = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self.listening.daemon_threads = True
        threading.Thread(target=self.listening.serve_forever, daemon=True).start()

    port = property(lambda self: self.listening.server_address[1])

    def close(self):
        self.listening.shutdown()
        self.listening.server_close()


class Connection:
    def __init__(self, guard, client):
        self.guard, self.client = guard, client
        self.server = socket.create_connection(("127.0.0.1", guard.server))
        self.known = False
        self.talk = None

    def serve(self):
        with self.server:
            while (message := receive(self.client)) is not None:
                code = struct.unpack_from("<i", message, 12)[0]
                if code == OP_QUERY:  # a driver's first message
                    self.client.sendall(self.greet(message))
                    continue
                document = message[21:]
                name = document[5:document.index(0, 5)].decode()
                if name in ("saslStart", "saslContinue"):
                    self.answer(message, self.authenticate(name, decode(document)))
                elif self.known or name in OPEN_TO_ALL:
                    self.client.sendall(self.pass_on(message))
                else:
                    self.answer(message,
                                {"ok": 0.0, "errmsg": f"command {name} requires authentication", "code": 13,
                                 "codeName": "Unauthorized"})

    def pass_on(self, message):
        self.server.sendall(message)
        return receive(self.server) or b""

    def greet(self, message):
        reply = self.pass_on(message)
        document = with_field(reply[36:], "saslSupportedMechs", ["SCRAM-SHA-256"])
        return struct.pack("<i", 36 + len(document)) + reply[4:36] + document

    def answer(self, message, document):
        request = struct.unpack_from("<i", message, 4)[0]
        body = struct.pack("<iB", 0, 0) + encode(document)
        self.client.sendall(struct.pack("<iiii", 16 + len(body), 1, request, OP_MSG) + body)

    def authenticate(self, name, command):
        guard = self.guard
        said = dict(part.split("=", 1) for part in command["payload"].decode().split(",") if "=" in part)
        refusal = {"ok": 0.0, "errmsg": "Authentication failed.", "code": 18, "codeName": "AuthenticationFailed"}
        if name == "saslStart":
            guard.mechanisms.append(command["mechanism"])
            if command["mechanism"] != "SCRAM-SHA-256" or said["n"] != guard.username:
                return refusal
            salt = os.urandom(28)
            nonce = said["r"] + base64.b64encode(os.urandom(18)).decode()
            first = f"r={nonce},s={base64.b64encode(salt).decode()},i={ROUNDS}"
            self.talk = (salt, command["payload"].decode()[3:], first)
            return {"conversationId": 1, "done": False, "payload": first.encode(), "ok": 1.0}
        salt, bare, first = self.talk
        salted = hashlib.pbkdf2_hmac("sha256", guard.password.encode(), salt, ROUNDS)

        def sign(key, text):
            return hmac.digest(key, text.encode(), "sha256")
        client_key = sign(salted, "Client Key")
        spoken = ",".join([bare, first, command["payload"].decode().rsplit(",p=", 1)[0]])
        signature = sign(hashlib.sha256(client_key).digest(), spoken)
        if base64.b64decode(said["p"]) != bytes(a ^ b for a, b in zip(client_key, signature)):
            return refusal
        self.known = True
        verifier = base64.b64encode(sign(sign(salted, "Server Key"), spoken)).decode()
        return {"conversationId": 1, "done": True, "payload": f"v={verifier}".encode(), "ok": 1.0}
