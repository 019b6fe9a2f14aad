"""The house rules that a compiler does not check: rooms include downwards only; Horton and the examples see public headers only."""
import pathlib
import re
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
# From the bottom up; a room may include those before it.
ROOMS = ["base", "runtime", "codec", "log", "http", "stream", "agent", "app", "cli"]
# Rooms on the same floor that know nothing of each other.
FORBIDDEN = {("log", "codec_private"), ("stream", "http"), ("agent", "http"), ("http", "log"), ("http", "codec")}
PUBLIC = {
    "error": "base", "time": "base", "ids": "base", "buffer": "base", "logging": "base", "version": "base",
    "task": "runtime", "loop": "runtime", "sync": "runtime",
    "reflect": "codec", "reflect_fields": "codec", "values": "codec", "json_write": "codec", "json_read": "codec", "json_fast": "codec", "codec": "codec",
    "log": "log", "record_batch": "log", "testing": "log", "http": "http",
    "detail/tracker": "stream", "detail/delivery": "stream", "detail/outbox": "stream", "detail/shard": "stream", "topic": "stream", "stream": "stream",
    "agent": "agent", "detail/agent_runtime": "agent",
    "app": "app", "settings": "app", "worker": "app", "command": "app", "terminal": "cli", "mephisto": "cli",
}
INCLUDE = re.compile(r'^\s*#include\s+["<]([^">]+)[">]', re.MULTILINE)


def room_of(include):
    if include.startswith("mephisto/"):
        return PUBLIC[include.removeprefix("mephisto/").removesuffix(".h")]
    first = include.split("/")[0]
    return first if first in ROOMS and "/" in include else None


class House(unittest.TestCase):
    def files(self, folder):
        return sorted(path for path in (ROOT / folder).rglob("*") if path.suffix in (".h", ".cc"))

    def test_every_public_header_has_a_room(self):
        for path in self.files("include/mephisto"):
            name = path.relative_to(ROOT / "include/mephisto").with_suffix("").as_posix()
            self.assertIn(name, PUBLIC, f"{path} has no room in tests/house/layers_test.py")

    def test_rooms_include_downwards_only(self):
        for path in self.files("src") + self.files("include/mephisto"):
            relative = path.relative_to(ROOT)
            room = relative.parts[1] if relative.parts[0] == "src" else PUBLIC[path.relative_to(ROOT / "include/mephisto").with_suffix("").as_posix()]
            for include in INCLUDE.findall(path.read_text()):
                other = room_of(include)
                if other is None:
                    continue
                self.assertLessEqual(ROOMS.index(other), ROOMS.index(room), f"{relative} ({room}) includes {include} ({other}), which is above it")
                self.assertNotIn((room, other), FORBIDDEN, f"{relative} ({room}) includes {include} ({other})")

    def test_public_headers_do_not_show_asio(self):
        for path in self.files("include/mephisto"):
            self.assertNotIn("boost/", path.read_text(), f"{path} includes Boost")

    def test_apps_see_public_headers_only(self):
        for path in self.files("horton") + self.files("examples"):
            for include in INCLUDE.findall(path.read_text()):
                first = include.split("/")[0]
                self.assertFalse(first in ROOMS and "/" in include and first not in ("log",), f"{path.relative_to(ROOT)} includes {include}, which is private")

    def test_the_smallest_program_is_small(self):
        lines = (ROOT / "examples/hello/hello.cc").read_text().splitlines()
        self.assertLess(len(lines), 25)


if __name__ == "__main__":
    unittest.main()
