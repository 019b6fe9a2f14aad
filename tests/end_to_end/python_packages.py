"""Packages from PyPI for a test: those of NAME_requirements.txt, installed in build/NAME/venv."""
import fcntl
import os
import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent


def need(name):
    """Starts this program again with the Python that has the packages."""
    requirements = HERE / f"{name}_requirements.txt"
    venv = HERE.parent.parent / f"build/{name}/venv"
    if pathlib.Path(sys.prefix) == venv:
        return
    wanted = requirements.read_text()
    done = venv / "requirements.txt"  # written last
    venv.parent.mkdir(parents=True, exist_ok=True)
    with open(venv.parent / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists() or done.read_text() != wanted:
            shutil.rmtree(venv, ignore_errors=True)
            subprocess.run([sys.executable, "-m", "venv", venv], check=True)
            subprocess.run([venv / "bin/pip", "install", "-q", "--disable-pip-version-check", "-r", requirements],
                           check=True)
            done.write_text(wanted)
    python = str(venv / "bin/python")
    os.execv(python, [python, *sys.argv])
