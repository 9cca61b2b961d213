"""The script of continuous integration: its steps, their order, and how it fails. Every command it calls is a stand-in."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.operations.processes import ROOT

STEPS = ["packages", "setup", "check", "test", "test-slow", "test-image", "oldest"]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Provide a folder with the script, and stand-ins: a `make` that records its calls, and a Python 3.11."""
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "run", tmp_path / ".ci" / "run")
    (tmp_path / "bin").mkdir()
    stand_in(tmp_path, "make", 'echo "$* CI=$CI" >> called\n[ "$1" != "$FAILS" ] && ! read -r line')
    python(tmp_path, "python3", "3.11")
    for program in ("bash", "date", "dirname"):
        (tmp_path / "bin" / program).symlink_to(str(shutil.which(program)))
    return tmp_path


def stand_in(clone: Path, program: str, script: str) -> None:
    """Add a program to the PATH of the script."""
    path = clone / "bin" / program
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def python(clone: Path, program: str, version: str) -> None:
    """Add a Python that answers only questions about its version."""
    supported = int(version != "3.9")
    script = (
        f'case "$*" in --version) echo Python {version};; *sys.exit*) exit {1 - supported};; *) echo {version};; esac'
    )
    stand_in(clone, program, script)


def run(clone: Path, fails: str = "", **more: str) -> "subprocess.CompletedProcess[str]":
    environment = {"PATH": str(clone / "bin"), "HOME": str(clone), "FAILS": fails} | more
    return subprocess.run(
        [clone / ".ci" / "run"], env=environment, input="y\n", capture_output=True, text=True, check=False
    )


def called(clone: Path) -> list[str]:
    """Return the arguments of each call of make."""
    return (clone / "called").read_text().splitlines()


def test_ci_runs_every_step_in_order_without_input(clone: Path) -> None:
    ended = run(clone)
    assert ended.returncode == 0, ended.stderr
    assert called(clone) == [f"{step} CI=true" for step in STEPS]
    assert "make check" in ended.stdout


@pytest.mark.parametrize("step", STEPS)
def test_ci_stops_at_the_first_step_that_fails(clone: Path, step: str) -> None:
    ended = run(clone, fails=step)
    assert ended.returncode != 0
    assert f"make {step}" in ended.stderr
    assert len(called(clone)) == STEPS.index(step) + 1


def test_ci_tests_the_newest_other_installed_python(clone: Path) -> None:
    python(clone, "python3.11", "3.11")
    python(clone, "python3.12", "3.12")
    python(clone, "python3.13", "3.13")
    ended = run(clone)
    assert ended.returncode == 0, ended.stderr
    assert called(clone)[len(STEPS) :] == ["test-second SECOND=python3.13 CI=true"]


def test_ci_finds_a_second_python_of_pyenv(clone: Path) -> None:
    stand_in(clone, "python3.13", "exit 127")  # what pyenv puts on the PATH for a version that is not selected
    pyenv = clone / ".pyenv" / "versions" / "3.13.0" / "bin"
    pyenv.mkdir(parents=True)
    python(clone, "python", "3.13")
    (clone / "bin" / "python").rename(pyenv / "python")
    ended = run(clone)
    assert ended.returncode == 0, ended.stderr
    assert called(clone)[len(STEPS) :] == [f"test-second SECOND={pyenv / 'python'} CI=true"]


def test_ci_reports_that_no_second_python_is_installed(clone: Path) -> None:
    assert "no second version was tested" in run(clone).stdout


def test_ci_names_the_required_python_version(clone: Path) -> None:
    python(clone, "old-python", "3.9")
    ended = run(clone, PYTHON="old-python")
    assert ended.returncode == 1
    assert "Python 3.11 or newer is needed; old-python is Python 3.9" in ended.stderr
    assert not (clone / "called").exists()
