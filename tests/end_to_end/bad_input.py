"""Cases of bad input: each gets one clear message that says what, where and what to do, and the right exit code."""
import dataclasses
import os
import re

from support import HORTON, LIMIT, STACK_TRACE, Scene, run

USAGE, FAILED = 2, 1


@dataclasses.dataclass
class Case:
    name: str
    args: list
    code: int
    says: list  # keywords of the one message
    config: object = None  # config.yml, text or bytes
    env: dict = dataclasses.field(default_factory=dict)
    files: dict = dataclasses.field(default_factory=dict)  # path: text, bytes, or None for a folder
    program: str = HORTON
    user: int = None
    limit: float = LIMIT


def usage(name, args, *says, **how):
    return Case(name, args.split() if isinstance(args, str) else args, USAGE, list(says), **how)


def failure(name, args, *says, **how):
    return Case(name, args.split() if isinstance(args, str) else args, FAILED, list(says), **how)


class BadInput(Scene):
    def check_message(self, got, code, says):
        detail = f"\n$ {got.args}\nexit code {got.returncode}\nstdout: {got.stdout[:400]}\nstderr: {got.stderr[:1500]}"
        detail = re.sub(r"x{300,}", "xxx…", detail)
        lines = got.stderr.splitlines()
        errors = [line for line in lines if line.startswith("Error: ")]
        problems = []
        if got.returncode != code:
            problems.append(f"exit code {got.returncode}, not {code}")
        if len(errors) != 1 or [line for line in lines if not line.startswith(("Error: ", "Try: "))] or len(lines) > 2:
            problems.append("not one `Error:` line and at most one `Try:` line")
        problems += [f"does not say {word!r}" for word in says if word not in "\n".join(errors)]
        if STACK_TRACE.search(got.stderr):
            problems.append("looks like a stack trace or the text of a library's exception")
        if len(errors) == 1 and len(errors[0]) > 500:
            problems.append("the message is too long to read")
        if got.stdout:
            problems.append("something on standard output")
        self.assertFalse(problems, detail)

    def try_case(self, case):
        folder = self.folder / re.sub(r"[^A-Za-z0-9]+", "-", case.name)
        folder.mkdir()
        if case.config is not None:
            case.files = {**case.files, "config.yml": case.config}
        for path, content in case.files.items():
            if content is None:
                (folder / path).mkdir(parents=True)
                continue
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content.encode() if isinstance(content, str) else content)
            (folder / path).chmod(0o600)
        if case.user is not None:
            if os.getuid() != 0:
                self.skipTest("needs root to run as somebody without rights")
            self.folder.chmod(0o755)
        args = [word.replace("{pid}", str(os.getpid())) for word in case.args]
        self.check_message(run(case.program, *args, folder=folder, env=case.env, user=case.user, limit=case.limit),
                           case.code, case.says)


def add_tests(test_class, cases, method=BadInput.try_case):
    """A test method for each row of a table."""
    for number, row in enumerate(cases):
        name = row.name if isinstance(row, Case) else row[0]

        def test(self, row=row):
            method(self, row)
        test.__doc__ = name
        setattr(test_class, f"test_{number:02}_{re.sub('[^a-z0-9]+', '_', name.lower()).strip('_')}", test)
