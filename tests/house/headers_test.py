#!/usr/bin/env python3
"""What the public headers ask of who includes them: no library but fmt, little compile time, and no warnings of a
careful user's.

  tests/house/headers_test.py CLANG
"""
import pathlib
import re
import shutil
import subprocess
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror"]
ALL = "".join(f"#include <{path.relative_to(ROOT / 'include')}>\n" for path in sorted((ROOT / "include").rglob("*.h")))
# What mephisto.h includes, also through our other headers, is compiled with every file of every app (decision 0032).
# The headers of the standard library that it may include: they take two thirds of its time.
STANDARD = set("""
algorithm array atomic bit charconv chrono compare concepts coroutine cstddef cstdint cstring deque exception expected
filesystem fmt/core.h functional limits list map memory new optional set source_location span stdexcept string
string_view tuple type_traits typeinfo unordered_map utility variant vector
""".split())
# Ours that it does not include: their classes are declared where mephisto.h needs their names, and used in .cc files.
APART = set("""
http.h live_check.h testing.h worker.h agent/agent_runtime.h agent/instance.h stream/assignment.h stream/committer.h stream/shard.h
""".split())
# Those that these do not include either: topics, streams and agents without tables.
WITHOUT_TABLES = ["mephisto/agent.h", "mephisto/command.h", "mephisto/settings.h", "mephisto/logging.h"]
APART_WITHOUT_TABLES = APART | set("""
log.h store/store.h stream/collector.h stream/delivery.h stream/outbox.h stream/participant.h stream/topic_directory.h
""".split())
# Lines of ours that are neither empty nor a comment.
LINES = 8600

# With options in part, as apps write them: a member that is left out is no mistake.
AGENTS = """
#include <mephisto/mephisto.h>

using namespace mephisto;

App app{"careful", {.help = "says little"}};
auto& lines = app.topic<std::string>("lines", {.partitions = 4});
auto& words = app.topic<std::string>("words", {.compacting = true});
auto& split = app.agent("split", lines, [](Stream<std::string> stream) -> Task<void> {
  while (auto line = co_await stream.next()) co_await words.cast(*line, {.key = *line});
}, {.concurrency = 2});

int main(int argc, char** argv) { return app.main(argc, argv); }
"""
RECORDS = """
#include <chrono>
#include <map>
#include <mephisto/mephisto.h>
#include <tuple>
#include <variant>

using namespace mephisto;

enum class Side { buy, sell };
struct Fill {
  std::int64_t quantity = 0;
  double price = 0;
};
struct Order {
  static constexpr std::string_view kNamespace = "shop.Order";
  static constexpr FieldOptions kFields[] = {{.member = "class_", .name = "class"}, {.member = "tiny", .may_be_missing = true}};
  std::string class_;
  Side side = Side::buy;
  std::uint8_t tiny = 0;
  float ratio = 0;
  bool open = false;
  std::vector<Fill> fills;
  std::array<int, 3> triple{};
  std::tuple<int, std::string> pair;
  std::map<Uuid, std::int16_t> counts;
  std::optional<std::string> note;
  Microtime created{};
  std::chrono::year_month_day day{};
  std::chrono::milliseconds wait{};
  Decimal total;
  Bytes raw;
  Json any;
};
struct Held {
  std::variant<None, Order> order;
};
struct Greet {
  std::string name;
  int times = 1;
  static std::vector<OptionHelp> help() { return {{.field = "name", .help = "whom"}}; }
};

App app{"careful"};
auto& orders = app.topic<Order>("orders", {.partitions = 4});
auto& held = app.topic<Held>("held");
auto& check = app.agent("check", orders, [](Stream<Order> stream) -> Results<bool> {
  while (auto order = co_await stream.next()) {
    log::info("{} {}", order->class_, order->ratio);
    co_await held.send({*order}, {.key = order->class_});
    co_yield order->open;
  }
});

int main(int argc, char** argv) {
  app.command<Greet>("greet", "Greet somebody.", [](Greet options) -> Task<void> {
    log::info("{} {}", options.name, options.times);
    co_return;
  });
  return app.main(argc, argv);
}
"""


def includes_of(header, found):
    """Adds the header of ours and all that it includes: text by name; without a text those of others."""
    path = ROOT / "include" / header
    found[header] = path.read_text() if path.exists() else None
    for name in re.findall(r"^[ \t]*#[ \t]*include[ \t]*[<\"]([^>\"]+)", found[header] or "", re.MULTILINE):
        if name not in found:
            includes_of(name, found)
    return found


class Weight(unittest.TestCase):
    def setUp(self):
        self.found = includes_of("mephisto/mephisto.h", {})

    def ours(self, found):
        return {name.removeprefix("mephisto/") for name in found}

    def test_of_the_standard_library_it_includes_these_only(self):
        others = {name for name, text in self.found.items() if text is None}
        self.assertEqual(others - STANDARD, set(), "use another type, or a .cc file")

    def test_the_inside_of_rooms_is_apart(self):
        self.assertTrue(all((ROOT / "include/mephisto" / name).exists() for name in APART_WITHOUT_TABLES))
        self.assertEqual(self.ours(self.found) & APART, set(), "declare the class, and use it in a .cc file")
        found = {}
        for header in WITHOUT_TABLES:
            includes_of(header, found)
        self.assertEqual(self.ours(found) & APART_WITHOUT_TABLES, set(), "declare the class, and use it in a .cc file")

    def test_its_lines(self):
        lines = "\n".join(text for text in self.found.values() if text).splitlines()
        code = [line for line in lines if line.strip() and not line.strip().startswith("//")]
        self.assertLess(len(code), LINES, "move what does not depend on an app's types to a .cc file")


class Headers(unittest.TestCase):
    def check(self, compiler, program):
        done = subprocess.run([*compiler, "-std=c++23", "-fsyntax-only", *WARNINGS, f"-I{ROOT}/include", "-xc++", "-"], input=program, capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_they_include_no_simdjson_and_no_boost(self):
        for path in (ROOT / "include/mephisto").rglob("*.h"):
            found = re.findall(r"^[ \t]*#[ \t]*include[ \t]*[<\"](?:simdjson|boost).*", path.read_text(), re.MULTILINE)
            self.assertEqual(found, [], path)

    def test_all_of_them_without_warnings(self):
        self.check(CLANG, ALL)

    def test_a_program_with_records_without_warnings(self):
        self.check(CLANG, RECORDS)

    def test_a_program_without_records_without_warnings(self):
        self.check(CLANG, AGENTS)

    def test_the_same_by_gcc(self):
        if not shutil.which("g++"):
            self.skipTest("there is no g++ here")
        self.check(["g++"], AGENTS)
        if int(subprocess.run(["g++", "-dumpversion"], capture_output=True, text=True).stdout.split(".")[0]) < 13:
            self.skipTest("g++ 12, which is refused, finds no names of fields")
        self.check(["g++"], RECORDS)


if __name__ == "__main__":
    CLANG = sys.argv[1:]
    unittest.main(argv=sys.argv[:1])
