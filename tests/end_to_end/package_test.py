"""The installed package: apps are built with it in each way, and compilers that would break it are refused."""
import json
import pathlib
import re
import shutil
import signal
import subprocess
import unittest

from support import BIN, ROOT, Scene, run

COMPILING = 280  # seconds


class Package(Scene):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.prefix = cls.folder / "prefix"
        installed = run("cmake", "--install", BIN.parent, "--prefix", cls.prefix, folder=cls.folder)
        if installed.returncode != 0:
            raise AssertionError(installed.stderr)

    def configure(self, source, build, *options):
        return run("cmake", "-S", source, "-B", self.folder / build, f"-DCMAKE_PREFIX_PATH={self.prefix}", *options,
                   folder=self.folder, limit=COMPILING)

    def build(self, source, build, *options, target="all"):
        """Configures and builds with the compiler that built the package."""
        configured = self.configure(source, build, "-DCMAKE_C_COMPILER=clang-19", "-DCMAKE_CXX_COMPILER=clang++-19",
                                    *options)
        self.assertEqual(configured.returncode, 0, configured.stdout + configured.stderr)
        built = run("cmake", "--build", self.folder / build, "--target", target, folder=self.folder, limit=COMPILING)
        self.assertEqual(built.returncode, 0, built.stdout[-5000:])
        return self.folder / build

    def source(self, name, example, text=None):
        """A copy of the example; `text` replaces its program."""
        folder = self.folder / name
        shutil.copytree(ROOT / "examples" / example, folder)
        if text:
            (folder / f"{example}.cc").write_text(text)
        return folder

    def assert_free(self, command):
        """No processor is chosen for the user, and no definition of simdjson's, which apps do not see."""
        self.assertNotRegex(command, r"-march=|-mtune=|SIMDJSON")

    @staticmethod
    def code_in(document, heading):
        """The first program below the heading."""
        text = (ROOT / document).read_text().partition(f"\n## {heading}\n")[2]
        return text.partition("```cpp\n")[2].partition("```")[0]

    def test_the_smallest_program_of_the_readme_counts_right(self):
        program = self.code_in("README.md", "The smallest program")
        self.assertIn(program, (ROOT / "examples/hello/hello.cc").read_text(),
                      "the example is the program of the README")
        build = self.build(self.source("readme", "hello", program), "readme-build")
        self.assert_free(next(build.rglob("flags.make")).read_text())
        hello = build / "hello"
        said = []
        for worker in ("first", "second"):  # the second one counts on
            worker = self.start(hello, "worker", name=worker)
            worker.wait_for("Worker ready$")
            for _ in range(5):
                sent = run(hello, "send", "lines", '"to be or not to be"', folder=self.folder)
                self.assertEqual((sent.returncode, sent.stderr), (0, ""))
                self.assertEqual(json.loads(sent.stdout)["topic"], "lines")
            before = len(said)
            for word, count in {"to": 10, "be": 10, "or": 5, "not": 5}.items():
                worker.wait_for(rf"\.hello:count_words:\d+ - {word}: {count * (2 if before else 1)}$")
            worker.signal(signal.SIGTERM)
            self.assertEqual(worker.wait(), 0)
            said += re.findall(r":count_words:\d+ - (\w+): (\d+)$", worker.stderr, re.MULTILINE)
        for word, count in {"to": 20, "be": 20, "or": 10, "not": 10}.items():
            self.assertEqual([int(number) for of, number in said if of == word], list(range(1, count + 1)))

    def test_the_test_of_the_documents_passes(self):
        folder = self.source("tested", "hello", self.code_in("docs/testing.md", "A test"))
        self.assertIn("TestDriver", (folder / "hello.cc").read_text())
        got = run(self.build(folder, "tested-build") / "hello", folder=self.folder)
        self.assertEqual(got.returncode, 0, got.stderr)

    def test_the_examples_of_state_find_the_package(self):
        got = self.configure(ROOT / "examples", "examples-build", "-DCMAKE_CXX_COMPILER=clang++-19")
        self.assertEqual(got.returncode, 0, got.stdout + got.stderr)

    def test_an_app_is_a_library_for_the_tool(self):
        library = self.build(ROOT / "examples/library", "library") / "libshop.so"
        tool = self.prefix / "bin/mephisto"
        agents = run(tool, "-A", library, "agents", "--json", folder=self.folder)
        self.assertEqual((agents.returncode, agents.stderr), (0, ""))
        self.assertIn("check", agents.stdout)
        worker = self.start(tool, "-A", library, "worker", name="worker")
        worker.wait_for("Worker ready$")
        sent = run(tool, "-A", library, "send", "orders", '{"id": "1", "price": 9.5}', folder=self.folder)
        self.assertEqual((sent.returncode, sent.stderr), (0, ""))
        worker.wait_for(r"\.shop:check:\d+ - 1 costs 9\.5$")
        worker.signal(signal.SIGTERM)
        self.assertEqual(worker.wait(), 0)

    def test_pkg_config_has_what_a_compiler_needs(self):
        env = {"PKG_CONFIG_PATH": str(next(self.prefix.rglob("pkgconfig")))}
        flags = run("pkg-config", "--cflags", "--libs", "mephisto", folder=self.folder, env=env)
        self.assertEqual((flags.returncode, flags.stderr), (0, ""))
        self.assert_free(flags.stdout)
        program = self.folder / "smallest.cc"
        program.write_text('#include <mephisto/app.h>\nint main(int argc, char** argv) { return '
                           'mephisto::App{"smallest"}.main(argc, argv); }\n')
        built = run("clang++-19", program, *flags.stdout.split(), "-o", self.folder / "smallest", folder=self.folder,
                    limit=COMPILING)
        self.assertEqual(built.returncode, 0, built.stderr)
        self.assertIn("Usage: smallest", run(self.folder / "smallest", "--help", folder=self.folder).stdout)
        version = run("pkg-config", "--modversion", "mephisto", folder=self.folder, env=env).stdout.strip()
        self.assertIn(f"version Mephisto {version}\n",
                      run(self.folder / "smallest", "--version", folder=self.folder).stdout)

    def test_it_is_a_part_of_another_project(self):
        """FetchContent is add_subdirectory of what it has fetched. Building the whole library would take minutes."""
        folder = self.source("within", "hello")
        cmake = folder / "CMakeLists.txt"
        cmake.write_text(cmake.read_text().replace(
            "find_package(Mephisto REQUIRED)",
            "include(FetchContent)\n"
            f"FetchContent_Declare(mephisto SOURCE_DIR {ROOT})\n"
            "FetchContent_MakeAvailable(mephisto)"))
        build = self.build(folder, "within-build", "-GNinja", target="CMakeFiles/hello.dir/hello.cc.o")
        targets = run("ninja", "-C", build, "-t", "targets", "all", folder=self.folder).stdout
        self.assertRegex(targets, r"libmephisto\.a: ")
        self.assertRegex(targets, r"(?m)^hello: ")
        self.assertNotRegex(targets, r"horton|_test|bench")
        flags = json.loads(run("ninja", "-C", build, "-t", "compdb", folder=self.folder).stdout)
        self.assert_free(next(entry["command"] for entry in flags if entry["file"].endswith("hello.cc")))

    def test_the_tool_is_there(self):
        got = run(self.prefix / "bin/mephisto", "--version", folder=self.folder)
        self.assertEqual((got.returncode, got.stderr), (0, ""))
        self.assertRegex(got.stdout, r"^mephisto, version Mephisto \d+\.\d+\.\d+\n$")

    def test_its_manual_page_and_completions_are_where_they_are_looked_for(self):
        tool = self.prefix / "bin/mephisto"
        for path, words in (("man/man1/mephisto.1", ["man"]),
                            ("bash-completion/completions/mephisto", ["completion", "bash"]),
                            ("zsh/site-functions/_mephisto", ["completion", "zsh"]),
                            ("fish/vendor_completions.d/mephisto.fish", ["completion", "fish"])):
            expected = run(tool, *words, folder=self.folder).stdout
            self.assertGreater(len(expected), 500)
            self.assertEqual((self.prefix / "share" / path).read_text(), expected)
        self.assertEqual(run("bash", "-n", self.prefix / "share/bash-completion/completions/mephisto",
                             folder=self.folder).returncode, 0)

    def test_it_works_on_other_machines(self):
        files = sorted(self.prefix.rglob("*.cmake"))
        self.assertEqual({"MephistoConfig.cmake", "MephistoTargets.cmake"} - {path.name for path in files}, set())
        for path in files:
            text = re.sub(r"^#.*$", "", path.read_text(), flags=re.MULTILINE)
            for place in (str(ROOT), str(self.prefix), "/usr/lib", "/usr/include"):
                self.assertNotIn(place, text, f"{path.name} names a place of this machine")

    def test_an_old_compiler_is_refused_with_the_reason(self):
        command = ["g++", "-dumpversion"]
        if (not shutil.which("g++")
                or subprocess.run(command, capture_output=True, text=True).stdout.split(".")[0].strip() != "12"):
            self.skipTest("there is no g++ 12 here")
        for what, source in (("the build", ROOT), ("an app on the package", ROOT / "examples/hello")):
            with self.subTest(what):
                got = self.configure(source, f"old-{pathlib.Path(source).name}", "-DCMAKE_C_COMPILER=gcc",
                                     "-DCMAKE_CXX_COMPILER=g++")
                self.assertEqual(got.returncode, 1, got.stdout)
                said = " ".join(got.stderr.split())
                self.assertRegex(said, r"g\+\+ 12\.\d+\.\d+ destroys temporaries twice")
                self.assertIn("apt install clang-19", said)
                self.assertIn("CMAKE_CXX_COMPILER=clang++-19", said)


if __name__ == "__main__":
    unittest.main()
