"""The installed package: an app is built with it, and compilers that would break it are refused."""
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
        return run("cmake", "-S", source, "-B", self.folder / build, f"-DCMAKE_PREFIX_PATH={self.prefix}", *options, folder=self.folder, limit=COMPILING)

    def test_an_app_is_built_and_runs(self):
        if not shutil.which("clang++-19"):
            self.skipTest("there is no clang++-19 here")
        configured = self.configure(ROOT / "examples/hello", "hello", "-DCMAKE_CXX_COMPILER=clang++-19")
        self.assertEqual(configured.returncode, 0, configured.stdout + configured.stderr)
        built = run("cmake", "--build", self.folder / "hello", folder=self.folder, limit=COMPILING)
        self.assertEqual(built.returncode, 0, built.stdout[-5000:])
        hello = self.folder / "hello/hello"
        worker = self.start(hello, "worker", name="worker")
        worker.wait_for("Worker ready$")
        sent = run(hello, "send", "lines", '"to be or not to be"', folder=self.folder)
        self.assertEqual((sent.returncode, sent.stderr), (0, ""))
        self.assertEqual(json.loads(sent.stdout)["topic"], "lines")
        worker.wait_for(r"hello\.hello:count_words:\d+ - be: 2$")
        self.assertEqual(re.findall(r":count_words:\d+ - (\w+: \d+)$", worker.stderr, re.MULTILINE), ["to: 1", "be: 1", "or: 1", "not: 1", "to: 2", "be: 2"])
        worker.signal(signal.SIGTERM)
        self.assertEqual(worker.wait(), 0)

    def test_the_tool_is_there(self):
        got = run(self.prefix / "bin/mephisto", "--version", folder=self.folder)
        self.assertEqual((got.returncode, got.stderr), (0, ""))
        self.assertRegex(got.stdout, r"^mephisto, version Mephisto \d+\.\d+\.\d+\n$")

    def test_it_works_on_other_machines(self):
        files = sorted(self.prefix.rglob("*.cmake"))
        self.assertEqual({"MephistoConfig.cmake", "MephistoTargets.cmake"} - {path.name for path in files}, set())
        for path in files:
            text = re.sub(r"^#.*$", "", path.read_text(), flags=re.MULTILINE)
            for place in (str(ROOT), str(self.prefix), "/usr/lib", "/usr/include"):
                self.assertNotIn(place, text, f"{path.name} names a place of this machine")

    def test_an_old_compiler_is_refused_with_the_reason(self):
        if not shutil.which("g++") or subprocess.run(["g++", "-dumpversion"], capture_output=True, text=True).stdout.split(".")[0].strip() != "12":
            self.skipTest("there is no g++ 12 here")
        for what, source in (("the build", ROOT), ("an app on the package", ROOT / "examples/hello")):
            with self.subTest(what):
                got = self.configure(source, f"old-{pathlib.Path(source).name}", "-DCMAKE_C_COMPILER=gcc", "-DCMAKE_CXX_COMPILER=g++")
                self.assertEqual(got.returncode, 1, got.stdout)
                said = " ".join(got.stderr.split())
                self.assertRegex(said, r"g\+\+ 12\.\d+\.\d+ destroys temporaries twice")
                self.assertIn("apt install clang-19", said)
                self.assertIn("CMAKE_CXX_COMPILER=clang++-19", said)


if __name__ == "__main__":
    unittest.main()
