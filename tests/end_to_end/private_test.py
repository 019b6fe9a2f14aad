"""Every file that a worker creates belongs to its owner alone, whatever the umask is. Files that another user prepared
are not used."""
import os
import pathlib
import signal
import stat
import subprocess
import unittest

from support import HORTON, Scene, environment, no_core, run

NOBODY = 65534


def loose(folder):
    """The files that others could read, write or enter."""
    return {str(path.relative_to(folder)): oct(path.lstat().st_mode) for path in [folder, *folder.rglob("*")]
            if path.lstat().st_mode & 0o077}


class Private(Scene):
    def setUp(self):
        self.place = self.folder / self.id().rsplit(".", 1)[1]
        self.place.mkdir()
        self.config(self.start_market(), "  rate: unlimited\n", folder=self.place)
        self.data = self.place / "horton-data"

    def collect(self):
        worker = self.start_worker(
            "--logfile", self.place / "horton-data/worker.log" if self.data.exists() else self.place / "worker.log",
            folder=self.place, ready=False)
        log = pathlib.Path(worker.child.args[worker.child.args.index("--logfile") + 1])
        self.wait_in(log, "Worker ready")
        self.assertEqual(self.horton("start-collect-securities", folder=self.place).returncode, 0)
        self.wait_in(log, "Listed 237 securities")
        return worker, log

    def wait_in(self, log, text):
        from support import wait_for
        wait_for(lambda: log.exists() and text in log.read_text(), f"{text} in {log}")

    def test_whatever_the_umask_is(self):
        before = os.umask(0)
        try:
            worker, log = self.collect()
        finally:
            os.umask(before)
        names = {path.name for path in self.data.rglob("*")}
        self.assertLessEqual({"data.mdb", "lock.mdb", "leases", "bell", "documents.db", "documents.db-wal",
                              "documents.db-shm"}, names)
        self.assertTrue(any(name.endswith(".sock") for name in names), names)
        self.assertEqual(loose(self.data), {})
        self.assertEqual(stat.S_IMODE(log.stat().st_mode), 0o600)

    def test_what_is_looser_is_tightened(self):
        worker, _ = self.collect()
        worker.signal(signal.SIGKILL)  # the files that SQLite makes beside its own stay
        worker.wait()
        for path in [self.data, *self.data.rglob("*")]:
            path.chmod(0o777)
        worker, _ = self.collect()
        self.assertEqual({name: mode for name, mode in loose(self.data).items() if not name.endswith(".sock")}, {})

    def test_a_folder_that_another_user_prepared_is_refused(self):
        for prepared in ("horton-data", "horton-data/log", "horton-data/v1"):
            with self.subTest(prepared):
                path = self.place / prepared
                path.mkdir(parents=True, mode=0o777)
                os.chown(path, NOBODY, NOBODY)
                got = self.horton("worker", folder=self.place)
                self.assertEqual(got.returncode, 1, got)
                self.assertRegex(got.stderr, rf"{prepared}.* is not used: it belongs to user nobody")
                self.assertEqual(list(path.iterdir()), [])
                subprocess.run(["rm", "-r", self.data], check=True)

    def test_a_link_is_never_written_through(self):
        victim = self.place / "victim"
        victim.write_text("precious")
        for name in ("log/leases", "log/bell", "log/data.mdb", "log/lock.mdb", "documents.db"):
            with self.subTest(name):
                link = self.data / name
                link.parent.mkdir(parents=True, mode=0o700)
                link.symlink_to(victim)
                got = self.horton("worker", folder=self.place)
                self.assertEqual(got.returncode, 1, got)
                self.assertRegex(got.stderr, rf"{link.name}.*link")
                self.assertEqual(victim.read_text(), "precious")
                subprocess.run(["rm", "-r", self.data], check=True)

    def test_another_user_cannot_use_it(self):
        worker, _ = self.collect()
        self.place.chmod(0o755)
        self.folder.chmod(0o755)
        for command in (["lag"], ["securities"], ["worker"]):
            got = run(HORTON, *command, folder=self.place, user=NOBODY)
            self.assertNotEqual(got.returncode, 0, got)
            self.assertIn("horton-data", got.stderr)


if __name__ == "__main__":
    unittest.main()
