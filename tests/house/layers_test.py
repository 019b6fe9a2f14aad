"""The house rules that a compiler does not check. A room includes only rooms below it, keeps its private headers to
itself, and defines what its headers declare. Apps include only public headers. There is enough test code."""
import pathlib
import re
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
# From the bottom up; a room may include those before it.
ROOMS = ["base", "cron", "store", "runtime", "codec", "log", "http", "stream", "table", "agent", "web", "app", "cli"]
# Pairs of rooms: the first must not include the second although it is below. HTTP and the log do not know each other.
APART = {("http", "log"), ("http", "codec"), ("stream", "http"), ("agent", "http")}
# The rooms of the headers that users include; every other header is in its room's folder.
FACE = {
    "error": "base", "logging": "base", "task": "runtime", "loop": "runtime", "sync": "runtime",
    "codec": "codec", "log": "log", "http": "http", "topic": "stream", "stream": "agent", "agent": "agent",
    "table": "table", "windows": "table", "app": "app", "settings": "app", "worker": "app", "command": "app", "testing": "app", "web": "app", "live_check": "app", "mephisto": "cli",
}
MOST_IN_FACE = 21
# Functions of a lower room that a higher one may define: a program calls App::main(), and runs the command line with it.
DEFINED_ABOVE = {"mephisto::App::main"}
# Private headers that the rooms above may include too.
SHARED = {"app/cron.h", "app/cron_rows.h", "app/status_socket.h", "app/table_rows.h", "base/big_endian.h", "base/certificate.h",
          "base/crash_point.h", "base/hash.h", "base/inflate.h", "base/iso8601.h", "base/log_file.h",
          "base/log_place.h", "base/private_file.h", "base/process.h", "base/text.h", "codec/value_json.h",
          "http/date.h", "log/group.h", "log/open_transaction.h", "runtime/asio.h", "runtime/lookup.h",
          "runtime/tasks.h", "web/exposition.h", "web/gate.h", "web/metric_families.h", "web/negotiate.h",
          "web/otlp.h", "web/statsd.h"}
# Apps must not include the headers of these rooms' folders. Besides the face they may include those of the others: the
# formats and values of records, and what prints tables.
PRIVATE = tuple(f"mephisto/{room}/" for room in ROOMS if room in ("store", "log", "stream", "agent", "app"))
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(["<])([^">]+)[">]', re.MULTILINE)


NAMESPACE = re.compile(r"(?:inline )?namespace(?: ([\w:]+))? \{")
CLASS = re.compile(r"(?:class|struct)(?: \[\[.*?\]\])? (\w+)\b[^;=()]*\{")
FUNCTION = re.compile(r"[^=;{}()#/]*?((?:\w+::)*~?\w+)\(")


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
        room = room_of(root, path)
        if room not in ROOMS:
            yield f"{name} is in no room: name it in tests/house/layers_test.py"
            continue
        for quote, include in INCLUDE.findall(path.read_text()):
            if wrong := what_is_wrong(room, include, quote == '"'):
                yield f"{name} ({room}) includes {include}, {wrong}"


def statements(text):
    """The statements of a file at the level of namespaces, up to their `;` or `{`, each with its namespaces. Relies on
    the formatting: such a statement begins in the first column, and its further lines do not."""
    namespaces, statement, in_body = [], "", False
    for line in text.splitlines():
        if match := NAMESPACE.match(line):
            namespaces.append(match[1] or "")
        elif line.startswith("}"):
            if not in_body or line.startswith("}  // namespace"):
                namespaces.pop()
            in_body = False
        elif statement or re.match(r"\w|\[\[", line):
            statement += re.sub(r"//.*|= \{\}", "", line).strip() + " "
            if end := re.search("[;{]", statement):
                yield namespaces[:], statement[:end.end()]
                in_body = line.count("{") > line.count("}") or not line.endswith(("}", ";"))
                statement = ""


def without_templates(statement):
    """The statement without `template <...>` and template arguments, which may contain parentheses."""
    before = None
    while before != statement:
        before, statement = statement, re.sub(r"<[^<>]*>", "", statement)
    return statement.removeprefix("template ")


def functions(text, ends_with):
    """The qualified names of the functions that the file declares (`;`) or defines (`{`), but for those that only the
    file itself can use."""
    for namespaces, statement in statements(text):
        match = FUNCTION.match(without_templates(statement))
        if match and "" not in namespaces and not statement.startswith("static ") and statement.endswith(ends_with):
            yield "::".join([*namespaces, match[1]])


def classes(text):
    for namespaces, statement in statements(text):
        if match := CLASS.match(without_templates(statement)):
            yield "::".join([*namespaces, match[1]])


def room_of(root, path):
    name = path.relative_to(root)
    return name.parts[1] if name.parts[0] == "src" else public_room(path.relative_to(root / "include").as_posix())


def wrong_definitions(root):
    """One line for each function that a header declares and a higher room defines, because the header's room then needs
    that room. Also for each that no header declares and other files could use."""
    declared = {}
    for path in sources(root, "src", "include/mephisto"):
        if path.suffix == ".h":
            text = path.read_text()
            for name in [*classes(text), *functions(text, ";")]:
                declared.setdefault(name, set()).add(room_of(root, path))
    for path in sources(root, "src"):
        room = room_of(root, path)
        if path.suffix == ".h" or room not in ROOMS:
            continue
        for name in functions(path.read_text(), "{"):
            parts = name.split("::")
            owners = ("::".join(parts[:length]) for length in range(len(parts), 0, -1))
            rooms = next((declared[owner] for owner in owners if owner in declared), set())
            if not rooms and name != "main":
                yield f"{path.relative_to(root)} defines {name}, which no header declares: hide it in a namespace {{"
            elif rooms and name not in DEFINED_ABOVE and all(ROOMS.index(one) < ROOMS.index(room) for one in rooms):
                yield f"{path.relative_to(root)} ({room}) defines {name}, which {', '.join(sorted(rooms))} declares"


def wrong_includes_of_apps(root):
    for path in sources(root, "horton", "examples"):
        for quote, include in INCLUDE.findall(path.read_text()):
            private = include.startswith(PRIVATE) or include.split("/")[0] in ("src", "..", *ROOMS)
            own = include.startswith(("mephisto/", "horton/")) or (path.parent / include).is_file()
            if private or (quote == '"' and not own):
                yield f"{path.relative_to(root)} includes {include}, which is not public"


def lines_of(paths):
    return sum(bool(line.strip()) for path in paths for line in path.read_text().splitlines())


class House(unittest.TestCase):
    def test_rooms_include_downwards_only(self):
        self.assertEqual(list(wrong_includes(ROOT)), [])

    def test_rooms_define_what_they_declare(self):
        self.assertEqual(list(wrong_definitions(ROOT)), [])

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

    def complaints(self, name, text, check=wrong_includes, **others):
        """The complaints about a file; `others` are further files."""
        with tempfile.TemporaryDirectory() as folder:
            for file, content in {name: text, **others}.items():
                path = pathlib.Path(folder) / file
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(content + "\n")
            return "\n".join(check(pathlib.Path(folder)))

    def definitions(self, header, declares, source, defines):
        """The complaints about what a .cc file defines, with a header. Both are in namespace mephisto."""
        inside = "namespace mephisto {{\n\n{}\n\n}}  // namespace mephisto"
        return self.complaints(source, inside.format(defines), wrong_definitions, **{header: inside.format(declares)})

    def test_an_include_upwards_is_found(self):
        self.assertIn("above it, in stream", self.complaints("src/log/x.cc", '#include "mephisto/topic.h"'))
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

    def test_a_member_that_a_higher_room_defines_is_found(self):
        stream = "class Stream {\n public:\n  void wait();\n};"
        for defines in ("void Stream::wait() {}", "Stream::Stream(int a)\n    : a_{a},\n      b_(a) {\n  f();\n}",
                        "std::function<void(int)> Stream::Part::next() const {\n  return {};\n}",
                        "template <class T>\nTask<T> Stream::take(std::vector<T> all = {}) {\n}"):
            found = self.definitions("include/mephisto/topic.h", stream, "src/agent/x.cc", defines)
            self.assertIn("(agent) defines mephisto::Stream::", found, defines)
            self.assertIn("which stream declares", found)
            self.assertEqual(self.definitions("include/mephisto/topic.h", stream, "src/stream/x.cc", defines), "")

    def test_a_free_function_that_a_higher_room_defines_is_found(self):
        for declares in ("Task<void> wait(Loop::duration time, const char* what = \"a pause\");",
                         "namespace detail {\nstruct State;\n}\n\n[[nodiscard]] std::map<int, int> wait(\n    int a);"):
            found = self.definitions("src/log/x.h", declares, "src/app/x.cc", "Task<void> wait(int) {\n  co_return;\n}")
            self.assertIn("src/app/x.cc (app) defines mephisto::wait, which log declares", found, declares)

    def test_a_definition_is_told_by_its_namespace(self):
        declares = "namespace detail {\n\nvoid wait();\n\n}  // namespace detail"
        self.assertIn("defines mephisto::detail::wait",
                      self.definitions("src/log/x.h", declares, "src/app/x.cc", "void detail::wait() {}"))
        self.assertIn("defines mephisto::wait, which no header declares",
                      self.definitions("src/log/x.h", declares, "src/app/x.cc", "void wait() {}"))

    def test_a_function_of_one_file_may_have_any_name(self):
        for hidden in ("namespace {\n\nvoid wait() {}\n\n}  // namespace", "static void wait() {}",
                       "int a = 1;\n\nconst auto x = [] {\n  return wait();\n}();"):
            self.assertEqual(self.definitions("src/log/x.h", "void wait();", "src/app/x.cc", hidden), "", hidden)

    def test_overloads_may_be_in_several_rooms(self):
        both = {"src/log/x.h": "std::string describe(int);", "src/app/x.h": "std::string describe(double);"}
        self.assertEqual(self.complaints("src/app/x.cc", "std::string describe(double) {\n}", wrong_definitions, **both),
                         "")

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
