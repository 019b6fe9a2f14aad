"""Mistakes that the compiler can detect: its first message for each of those in author_mistakes.cc."""
import json
import pathlib
import re
import shlex
import subprocess
import unittest

from support import BIN, ROOT

SOURCE = pathlib.Path(__file__).with_suffix("").with_name("author_mistakes.cc")
DIAGNOSTIC = re.compile(r"^\S+?:\d+:\d+: (?:fatal )?(?:error|warning): ", re.MULTILINE)


def compiler_says():
    """The messages of this build's compiler for the file, one text for each diagnostic."""
    entries = json.loads((BIN.parent / "compile_commands.json").read_text())
    words = next(shlex.split(entry["command"]) for entry in entries if entry["file"].endswith("chaos_app.cc"))
    compiler = next(i for i, word in enumerate(words) if re.search(r"(clang\+\+|g\+\+)[-\d]*$", word))
    options = [word for word in words[compiler + 1:] if re.match(r"-(I|isystem|D|std|m|W)", word)]
    got = subprocess.run([words[compiler], *options, "-fsyntax-only", "-ferror-limit=0", "-fno-caret-diagnostics",
                          str(SOURCE)], capture_output=True, text=True, timeout=280)
    starts = [match.start() for match in DIAGNOSTIC.finditer(got.stderr)] + [len(got.stderr)]
    return [got.stderr[begin:end] for begin, end in zip(starts, starts[1:])]


class AuthorMistakes(unittest.TestCase):
    maxDiff = None

    def test_each_is_one_error_that_says_what_is_wrong(self):
        said = {}
        for text in compiler_says():
            lines = [int(line) for line in re.findall(rf"{SOURCE.name}:(\d+):\d+", text)]
            self.assertTrue(lines, f"not of a line of {SOURCE.name}: {text}")
            said.setdefault(lines[-1], []).append(text)
        expected = {}
        for number, line in enumerate(SOURCE.read_text().splitlines(), 1):
            if match := re.search(r"// says: (.*)", line):
                expected[number + 1] = match.group(1)
        self.assertGreater(len(expected), 40)
        for number, pattern in expected.items():
            with self.subTest(line=number, pattern=pattern):
                texts = said.pop(number, [])
                self.assertEqual(len(texts), 1, "\n".join(texts) or "nothing is said")
                self.assertRegex(texts[0].splitlines()[0].replace("mephisto::", "").replace("detail::", ""), pattern)
        self.assertEqual(said, {}, "said of what is right")


if __name__ == "__main__":
    unittest.main()
