"""What differs at a terminal: boxes, widths, colours."""
import signal
import unittest

from support import HORTON, Scene, Terminal


class AtATerminal(Scene):
    def shown(self, *words, env=None, columns=80):
        terminal = Terminal(HORTON, *words, folder=self.folder, env=env, columns=columns)
        self.addCleanup(terminal.end)
        return terminal.wait()

    def test_tables_are_boxes(self):
        self.assertRegex(self.shown("tables"), r"^┌Tables─")
        self.assertRegex(self.shown("models"),
                         r"^┌Models─+┬─+┐\n│ name +│ fields +│\n├─+┼─+┤\n(│ \w+ +│ [\w, ]+ +│\n)+└─+┴─+┘\n$")

    def test_the_last_column_is_wrapped_to_the_width(self):
        whole = len(self.horton("config").stdout.splitlines()[0])
        for columns in (whole - 25, whole, whole + 25):
            lines = self.shown("config", columns=columns).splitlines()
            self.assertEqual({len(line) for line in lines}, {min(columns, whole)})
        # A table is never cut: it cannot be narrower than its words.
        self.assertIn("CollectSecurityOverview", self.shown("models", columns=20))

    def test_json_is_the_same_as_elsewhere(self):
        self.assertEqual(self.shown("models", "--json"), self.horton("models", "--json").stdout)

    def level_of_the_worker(self, *words, env=None):
        self.config("http://127.0.0.1:1/")  # no server is needed
        terminal = Terminal(HORTON, "worker", "-q", *words, folder=self.folder, env=env)
        self.addCleanup(terminal.end)
        found = terminal.wait_for(r"\| (\S*INFO +\S*) \| .*Worker ready").group(1)
        terminal.child.send_signal(signal.SIGTERM)
        terminal.wait()
        return found

    def test_levels_are_coloured_unless_told_otherwise(self):
        self.assertEqual(self.level_of_the_worker(), "\x1b[1mINFO    \x1b[0m")
        self.assertEqual(self.level_of_the_worker(env={"NO_COLOR": ""}), "\x1b[1mINFO    \x1b[0m")
        self.assertEqual(self.level_of_the_worker(env={"NO_COLOR": "1"}), "INFO    ")
        self.assertEqual(self.level_of_the_worker("--no-color"), "INFO    ")


if __name__ == "__main__":
    unittest.main()
