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
    make = tmp_path / "bin" / "make"
    make.parent.mkdir()
    make.write_text('#!/bin/sh\necho "$1 CI=$CI" >> asked\n[ "$1" != "$FAILS" ] && ! read -r line\n')
    make.chmod(0o755)
    return tmp_path


def run(clone: Path, fails: str = "") -> "subprocess.CompletedProcess[str]":
    environment = os.environ | {"PATH": f"{clone / 'bin'}:{os.environ['PATH']}", "FAILS": fails}
    return subprocess.run(
        [clone / ".ci" / "run"], env=environment, input="y\n", capture_output=True, text=True, check=False, timeout=60
    )


def asked(clone: Path) -> list[str]:
    return (clone / "asked").read_text().splitlines()


def test_it_checks_then_tests_without_anything_to_read(clone: Path) -> None:
    ended = run(clone)
    assert ended.returncode == 0, ended.stderr
    assert asked(clone) == ["setup CI=true", "check CI=true", "test CI=true"]
    assert "make check" in ended.stdout


@pytest.mark.parametrize(("fails", "reached"), [("setup", 1), ("check", 2), ("test", 3)])
def test_it_fails_where_a_step_fails_and_goes_no_further(clone: Path, fails: str, reached: int) -> None:
    ended = run(clone, fails)
    assert ended.returncode != 0
    assert f"make {fails}" in ended.stderr
    assert len(asked(clone)) == reached
