"""Completion in real shells, and the manual page."""
import contextlib
import shutil
import unittest

from support import Scene, Terminal, run


class Completion(Scene):
    def completed(self, *words):
        """The completions that bash offers after these words."""
        script = self.horton("completion", "bash")
        self.assertEqual((script.returncode, script.stderr), (0, ""))
        (self.folder / "completion.bash").write_text(script.stdout)
        ask = r'''
            source ./completion.bash
            how=$(complete -p horton); function=${how#*-F }; function=${function%% *}
            COMP_WORDS=(horton "$@"); COMP_CWORD=$#; COMP_LINE="horton $*"; COMP_POINT=${#COMP_LINE}
            $function horton "${@: -1}" "${COMP_WORDS[COMP_CWORD-1]}"
            printf '%s\n' "${COMPREPLY[@]}"
        '''
        got = run("bash", "-c", ask, "bash", *words, folder=self.folder)
        self.assertEqual((got.returncode, got.stderr), (0, ""))
        return [word.strip() for word in got.stdout.split("\n") if word.strip()]

    def test_the_bash_script_is_valid(self):
        self.completed("wor")
        self.assertEqual(run("bash", "-n", "completion.bash", folder=self.folder).returncode, 0)

    def test_bash_completes_commands_and_options(self):
        self.assertEqual(self.completed("wor"), ["worker"])
        self.assertEqual(self.completed("start-collect-s"), ["start-collect-securities"])
        self.assertEqual(self.completed("worker", "--sha"), ["--shards"])
        self.assertEqual(self.completed("--logl"), ["--loglevel"])
        self.assertIn("worker", self.completed("--json", "wor"))

    def script(self, shell):
        got = self.horton("completion", shell)
        self.assertEqual((got.returncode, got.stderr), (0, ""))
        path = self.folder / f"completion.{shell}"
        path.write_text(got.stdout)
        self.assertEqual(run(shell, "-n", path, folder=self.folder).returncode, 0, "bad syntax")
        return path

    @contextlib.contextmanager
    def typing(self, shell, *options):
        """An interactive shell in which `horton` prints its arguments. A line with Tab and Enter then shows the
        completion."""
        if not shutil.which(shell):
            self.skipTest(f"there is no {shell} here")
        terminal = Terminal(shell, *options, folder=self.folder,
                            env={"HOME": str(self.folder), "ZDOTDIR": str(self.folder), "TERM": "vt100",
                                 "BASH_SILENCE_DEPRECATION_WARNING": "1"})
        try:
            terminal.wait_for("READY")
            yield lambda line: terminal.answer(line + "\n", r"<([^<>$]*)>")
        finally:
            terminal.end()

    def check_typing(self, complete):
        self.assertEqual(complete("horton wor\t"), "worker")
        self.assertEqual(complete("horton start-collect-s\t"), "start-collect-securities")
        self.assertEqual(complete("horton worker --sha\t"), "worker --shards")
        self.assertEqual(complete("horton --jso\t wor\t"), "--json worker")

    def test_in_a_real_bash(self):
        (self.folder / "bashrc").write_text(f"source {self.script('bash')}\nhorton() {{ printf '<%s>\\n' \"$*\"; }}\n"
                                            "PS1=; echo READY\n")
        with self.typing("bash", "--noprofile", "--rcfile", "bashrc", "-i") as complete:
            self.check_typing(complete)

    def test_in_a_real_zsh(self):
        if not shutil.which("zsh"):
            self.skipTest("there is no zsh here")
        for how in ("sourced", "autoloaded"):
            with self.subTest(how):
                script = self.script("zsh")
                (self.folder / "functions").mkdir(exist_ok=True)
                (self.folder / "functions/_horton").write_text(script.read_text() if how == "autoloaded" else "")
                (self.folder / ".zshrc").write_text(
                    f"fpath=({self.folder}/functions $fpath)\nautoload -Uz compinit; compinit -u -D\n"
                    + (f"source {script}\n" if how == "sourced" else "")
                    + "horton() { printf '<%s>\\n' \"$*\" }\nPS1=; echo READY\n")
                with self.typing("zsh", "-i") as complete:
                    self.check_typing(complete)

    def test_in_a_real_fish(self):
        if not shutil.which("fish"):
            self.skipTest("there is no fish here")
        script = self.script("fish")

        def complete(line):
            got = run("fish", "--no-config", "-c", f"source {script}; complete -C '{line}'", folder=self.folder,
                      env={"HOME": str(self.folder)})
            self.assertEqual((got.returncode, got.stderr), (0, ""))
            return got.stdout.splitlines()
        self.assertEqual(complete("horton wor"), ["worker\tStart worker instance for given app."])
        self.assertEqual(complete("horton start-collect-s"), ["start-collect-securities\tCollect securities and overview."])
        self.assertEqual([line.split("\t")[0] for line in complete("horton worker --sha")], ["--shards"])
        self.assertEqual([line.split("\t")[0] for line in complete("horton --json wor")], ["worker"])
        self.assertEqual([line.split("\t")[0] for line in complete("horton agents --sha")], [])

    def test_the_shell_is_guessed(self):
        for shell in ("bash", "zsh", "fish"):
            self.assertEqual(self.horton("completion", env={"SHELL": f"/usr/bin/{shell}"}).stdout,
                             self.horton("completion", shell).stdout)

    def test_the_manual_page_renders(self):
        page = self.horton("man")
        self.assertEqual((page.returncode, page.stderr), (0, ""))
        self.assertTrue(page.stdout.startswith(".TH "))
        if not shutil.which("man"):
            self.skipTest("there is no man here")
        (self.folder / "horton.1").write_text(page.stdout)
        shown = run("man", "--warnings", "-l", "horton.1", folder=self.folder,
                    env={"MANPAGER": "cat", "MANWIDTH": "100"})
        if "not found" in shown.stderr or "minimized" in shown.stdout:
            self.skipTest("man cannot render here: " + shown.stderr)
        self.assertEqual((shown.returncode, shown.stderr), (0, ""))
        for word in ("start-collect-securities", "Collect securities and overview.", "--loglevel"):
            self.assertIn(word, shown.stdout)


if __name__ == "__main__":
    unittest.main()
