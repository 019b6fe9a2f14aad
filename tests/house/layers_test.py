"""The house rules that a compiler does not check. A room includes only rooms below it, and keeps its private headers to
itself. Apps include only public headers. There is enough test code."""
import pathlib
import re
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
# From the bottom up; a room may include those before it.
ROOMS = ["base", "runtime", "codec", "log", "http", "stream", "agent", "app", "cli"]
# Pairs of rooms: the first must not include the second although it is below. HTTP and the log do not know each other.
APART = {("http", "log"), ("http", "codec"), ("stream", "http"), ("agent", "http")}
# The rooms of the headers that users include; every other header is in its room's folder.
FACE = {
    "error": "base", "time": "base", "logging": "base", "task": "runtime", "loop": "runtime", "sync": "runtime",
    "codec": "codec", "log": "log", "http": "http", "topic": "stream", "stream": "stream", "agent": "agent",
    "app": "app", "settings": "app", "worker": "app", "command": "app", "testing": "app", "mephisto": "cli",
}
MOST_IN_FACE = 20
# Private headers that the rooms above may include too.
SHARED = {"base/text.h", "base/hash.h", "base/inflate.h", "base/crash_point.h", "base/log_place.h", "base/log_file.h",
          "base/private_file.h", "base/process.h", "log/open_transaction.h", "runtime/asio.h", "runtime/lookup.h",
          "runtime/tasks.h"}
# Apps must not include the headers of these rooms' folders. Besides the face they may include those of the others: the
# formats and values of records, and what prints tables.
PRIVATE = tuple(f"mephisto/{room}/" for room in ROOMS if room in ("log", "stream", "agent", "app"))
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(["<])([^">]+)[">]', re.MULTILINE)


def sources(root, *folders):
    return sorted(path for folder in folders for path in (root / folder).rglob("*") if path.suffix in (".h", ".cc"))


def public_room(path):
    """The room of a header below include/: by its folder, or by its name if it is a public header."""
    name = path.removeprefix("mephisto/").removesuffix(".h")
    return FACE.get(name) if "/" not in name else name.split("/")[0]


def what_is_wrong(room, include, quoted):
    """What is wrong with an include of a file in `room`; nothing if it is right."""
    if include.startswith("mephisto/"):
        other = public_room(include)
        if other not in ROOMS:
            return "which is in no room"
    else:
        other = include.split("/")[0]
        if "/" not in include or other not in ROOMS:
            return "which is not named by its room" if quoted else None
        if other != room and include not in SHARED:
            return f"which is private to {other}"
    if ROOMS.index(other) > ROOMS.index(room):
        return f"which is above it, in {other}"
    return f"and should know nothing of {other}" if (room, other) in APART else None


def wrong_includes(root):
    """One line for each include of the framework below `root` that breaks the order of the rooms."""
    for path in sources(root, "src", "include/mephisto"):
        name = path.relative_to(root)
        room = name.parts[1] if name.parts[0] == "src" else public_room(path.relative_to(root / "include").as_posix())
        if room not in ROOMS:
            yield f"{name} is in no room: name it in tests/house/layers_test.py"
            continue
        for quote, include in INCLUDE.findall(path.read_text()):
            if wrong := what_is_wrong(room, include, quote == '"'):
                yield f"{name} ({room}) includes {include}, {wrong}"


def wrong_includes_of_apps(root):
    for path in sources(root, "horton", "examples"):
        for quote, include in INCLUDE.findall(path.read_text()):
            private = include.startswith(PRIVATE) or include.split("/")[0] in ("src", "..", *ROOMS)
            if private or (quote == '"' and not include.startswith(("mephisto/", "horton/"))):
                yield f"{path.relative_to(root)} includes {include}, which is not public"


def lines_of(paths):
    return sum(bool(line.strip()) for path in paths for line in path.read_text().splitlines())


class House(unittest.TestCase):
    def test_rooms_include_downwards_only(self):
        self.assertEqual(list(wrong_includes(ROOT)), [])

    def test_apps_see_public_headers_only(self):
        self.assertEqual(list(wrong_includes_of_apps(ROOT)), [])

    def test_the_face_is_small(self):
        self.assertEqual(sorted(path.stem for path in (ROOT / "include/mephisto").glob("*.h")), sorted(FACE))
        self.assertLessEqual(len(FACE), MOST_IN_FACE)

    def test_the_smallest_program_is_small(self):
        lines = (ROOT / "examples/hello/hello.cc").read_text().splitlines()
        self.assertLess(len(lines), 25)

    def test_there_are_four_lines_of_tests_for_five_of_code(self):
        tests = lines_of(sources(ROOT, "tests", "fuzz")) + lines_of(sorted((ROOT / "tests").rglob("*.py")))
        self.assertGreaterEqual(tests / lines_of(sources(ROOT, "src", "include", "horton")), 0.8)


class TheRulesThemselves(unittest.TestCase):
    """Each rule detects a file that breaks it, in an otherwise empty tree."""

    def complaints(self, name, text, check=wrong_includes):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / name
            path.parent.mkdir(parents=True)
            path.write_text(text + "\n")
            return "\n".join(check(pathlib.Path(folder)))

    def test_an_include_upwards_is_found(self):
        self.assertIn("above it, in stream", self.complaints("src/log/x.cc", '#include "mephisto/stream.h"'))
        self.assertIn("above it, in log", self.complaints("include/mephisto/codec.h", "  #  include <mephisto/log.h>"))

    def test_another_rooms_private_header_is_found(self):
        self.assertIn("private to log", self.complaints("src/stream/x.cc", '#include "log/store.h"'))
        self.assertIn("private to cli", self.complaints("src/base/x.h", '#include "cli/commands.h"'))

    def test_an_include_around_the_rooms_is_found(self):
        self.assertIn("not named by its room", self.complaints("src/stream/x.cc", '#include "../log/store.h"'))
        self.assertIn("not named by its room", self.complaints("src/stream/x.cc", '#include "store.h"'))

    def test_rooms_that_know_nothing_of_each_other_are_found(self):
        self.assertIn("nothing of log", self.complaints("src/http/x.cc", '#include "mephisto/log.h"'))

    def test_files_in_no_room_are_found(self):
        self.assertIn("in no room", self.complaints("src/cellar/x.cc", ""))
        self.assertIn("in no room", self.complaints("include/mephisto/new.h", ""))
        self.assertIn("in no room", self.complaints("src/cli/x.cc", '#include "mephisto/new.h"'))

    def test_what_is_right_is_let_be(self):
        right = ('#include <map>\n#include "base/text.h"\n#include "log/group.h"\n#include "mephisto/sync.h"\n'
                 '// #include "cli/commands.h"')
        self.assertEqual(self.complaints("src/log/x.cc", right), "")
        self.assertEqual(self.complaints("horton/x.cc", '#include "horton/app.h"\n#include "mephisto/app.h"',
                                         wrong_includes_of_apps), "")

    def test_private_headers_in_an_app_are_found(self):
        for include in ("log/store.h", "mephisto/stream/shard.h", "../src/log/store.h", "src/log/store.h"):
            self.assertIn("not public", self.complaints("horton/x.cc", f'#include "{include}"', wrong_includes_of_apps),
                          include)


if __name__ == "__main__":
    unittest.main()
