"""The run of continuous integration: what it does, in which order, and that a failure is its own."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.operations.processes import ROOT


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Give a folder with the script, and a `make` that writes down what it is asked for and fails when told to."""
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "run", tmp_path / ".ci" / "run")
    (tmp_path / "bin").mkdir()
    stand_in(tmp_path, "make", 'echo "$1 CI=$CI" >> asked\n[ "$1" != "$FAILS" ] && ! read -r line')
    return tmp_path


def stand_in(clone: Path, program: str, script: str) -> None:
    """Put a program of ours before the machine's."""
    path = clone / "bin" / program
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def run(clone: Path, fails: str = "", **more: str) -> "subprocess.CompletedProcess[str]":
    environment = os.environ | {"PATH": f"{clone / 'bin'}:{os.environ['PATH']}", "FAILS": fails} | more
    return subprocess.run(
        [clone / ".ci" / "run"], env=environment, input="y\n", capture_output=True, text=True, check=False, timeout=60
    )


def asked(clone: Path) -> list[str]:
    return (clone / "asked").read_text().splitlines()


def test_it_checks_then_tests_without_anything_to_read(clone: Path) -> None:
    ended = run(clone)
    assert ended.returncode == 0, ended.stderr
    assert asked(clone) == ["setup CI=true", "check CI=true", "test CI=true", "oldest CI=true"]
    assert "make check" in ended.stdout


@pytest.mark.parametrize(("fails", "reached"), [("setup", 1), ("check", 2), ("test", 3), ("oldest", 4)])
def test_it_fails_where_a_step_fails_and_goes_no_further(clone: Path, fails: str, reached: int) -> None:
    ended = run(clone, fails)
    assert ended.returncode != 0
    assert f"make {fails}" in ended.stderr
    assert len(asked(clone)) == reached


PYTHON_OF_DEBIAN = 'case "$2" in *ensurepip*) exit 1;; *) exit 0;; esac'  # without its package python3-venv


def test_it_installs_the_one_debian_package_that_may_be_missing(clone: Path) -> None:
    stand_in(clone, "python-of-debian", PYTHON_OF_DEBIAN)
    stand_in(clone, "id", "echo 0")
    stand_in(clone, "apt-get", 'echo "apt-get $*" >> asked')
    ended = run(clone, PYTHON="python-of-debian")
    assert ended.returncode == 0, ended.stderr
    assert asked(clone)[:2] == ["apt-get update -qq", "apt-get install -y -qq --no-install-recommends python3-venv"]
    assert len(asked(clone)) == 6


def test_it_says_what_is_missing_where_it_may_not_install_anything(clone: Path) -> None:
    stand_in(clone, "python-of-debian", PYTHON_OF_DEBIAN)
    stand_in(clone, "id", "echo 1000")
    ended = run(clone, PYTHON="python-of-debian")
    assert ended.returncode == 1
    assert "apt-get install python3-venv" in ended.stderr
    assert not (clone / "asked").exists()


def test_it_says_which_python_is_needed(clone: Path) -> None:
    stand_in(clone, "python-of-old", '[ "$1" = --version ] && echo "Python 3.9.2"; exit 1')
    ended = run(clone, PYTHON="python-of-old")
    assert ended.returncode == 1
    assert "Python 3.11 or newer is needed" in ended.stderr
