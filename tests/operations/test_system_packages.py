"""The installation of Debian packages, and the message where they can't be installed. `apt-get` is a stand-in."""

import subprocess
import sys
from pathlib import Path

import pytest

from scripts.system_packages import HA_PACKAGES, PACKAGES, Machine, main
from tests.operations.processes import ROOT

ROOT_USER, SOMEBODY = 0, 1000
DEBIAN_12 = 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nVERSION_ID="12"\n\nID=debian\n'
UBUNTU = 'NAME="Ubuntu"\nVERSION_ID="24.04"\nID=ubuntu\n'


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Provide the file system of a new Debian 12, and an `apt-get` that records its calls and installs into it."""
    root = tmp_path / "root"
    for path, content in (("etc/os-release", DEBIAN_12), ("var/lib/dpkg/status", "")):
        (root / path).parent.mkdir(parents=True)
        (root / path).write_text(content)
    provided = {name: root / path.relative_to("/") for name, path in {**PACKAGES, **HA_PACKAGES}.items()}
    policy = root / "usr/sbin/policy-rc.d"
    script = [
        f'echo "$*" >> {tmp_path}/called',
        f"sh {policy}; echo $? >> {tmp_path}/policy",
        "[ ! -e $0.fails ] || exit 100",
        "case $* in *update) exit;; esac",
    ]
    for name, provides in provided.items():
        script.append(f'case " $* " in *" {name} "*) mkdir -p {provides.parent} && touch {provides};; esac')
    apt_get = tmp_path / "bin" / "apt-get"
    apt_get.parent.mkdir()
    apt_get.write_text("\n".join(["#!/bin/sh", *script]))
    apt_get.chmod(0o755)
    monkeypatch.setenv("PATH", f"{apt_get.parent}:/usr/bin:/bin")
    return root


def calls(root: Path) -> list[str]:
    """Return the calls of apt-get, without their options."""
    file = root.parent / "called"
    return [line.partition("Timeout=600 ")[2] for line in file.read_text().splitlines()] if file.exists() else []


def test_root_on_debian_12_installs_missing_packages(root: Path) -> None:
    assert main([], Machine(root, ROOT_USER)) == 0
    assert calls(root) == ["update", f"install -y --no-install-recommends {' '.join(PACKAGES)}"]


def test_debian_starts_no_service_of_a_package_while_it_is_installed(root: Path) -> None:
    assert main(["patroni", "etcd-server"], Machine(root, ROOT_USER)) == 0
    assert (root.parent / "policy").read_text().split() == ["101", "101"]
    assert not (root / "usr/sbin/policy-rc.d").exists()


def test_the_policy_of_the_administrator_about_services_stays(root: Path) -> None:
    policy = root / "usr/sbin/policy-rc.d"
    policy.parent.mkdir(parents=True)
    policy.write_text("exit 7")
    assert main(["haproxy"], Machine(root, ROOT_USER)) == 0
    assert (root.parent / "policy").read_text().split() == ["7", "7"]
    assert policy.read_text() == "exit 7"


def test_a_second_run_calls_nothing(root: Path) -> None:
    main([], Machine(root, ROOT_USER))
    before = calls(root)
    assert main([], Machine(root, ROOT_USER)) == 0
    assert calls(root) == before


def test_only_the_named_packages_are_installed(root: Path) -> None:
    assert main(["caddy"], Machine(root, ROOT_USER)) == 0
    assert calls(root) == ["update", "install -y --no-install-recommends caddy"]


def test_only_one_of_two_concurrent_runs_installs(root: Path) -> None:
    program = f"""
from pathlib import Path
from scripts.system_packages import Machine, main
raise SystemExit(main([], Machine(Path({str(root)!r}), {ROOT_USER})))
"""
    both = [subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.DEVNULL) for _ in range(2)]
    assert [one.wait() for one in both] == [0, 0]
    assert len(calls(root)) == 2


@pytest.mark.parametrize(
    ("user", "release"),
    [
        pytest.param(SOMEBODY, DEBIAN_12, id="without root"),
        pytest.param(ROOT_USER, UBUNTU, id="on another system"),
        pytest.param(ROOT_USER, None, id="on a system without os-release"),
    ],
)
def test_one_line_names_the_packages_on_other_systems(
    root: Path, user: int, release: str | None, capfd: pytest.CaptureFixture[str]
) -> None:
    (root / "etc/os-release").unlink()
    if release is not None:
        (root / "etc/os-release").write_text(release)
    assert main([], Machine(root, user)) == 0
    names = " ".join(PACKAGES)
    line = f"not installed: {names} (Debian: apt-get install {names}); tests that need them are skipped\n"
    assert capfd.readouterr().err == line
    assert calls(root) == []


def test_a_failed_installation_is_an_error(root: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (root.parent / "bin" / "apt-get.fails").touch()
    assert main(["chromium"], Machine(root, ROOT_USER)) == 1
    assert "not installed: chromium" in capfd.readouterr().err
    assert calls(root) == ["update"]
