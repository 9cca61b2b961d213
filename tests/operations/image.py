"""
Build the image's file system without a container engine, and run commands in it, confined as in docker-compose.yml.

The steps of the Dockerfile run in a Debian 13 of their own, made by debootstrap. It stands in for the base image, which
needs a registry: `python:3.13-slim` is a Debian 13 with a Python built for it, and the stand-in uses Debian's own Python
3.13. What is slow, the Debian and the locked requirements, is kept in the user's cache for the next run.
"""

import fcntl
import hashlib
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from tests.operations.compose_project import SERVICES, Program
from tests.operations.processes import ROOT

DOCKERFILE = ROOT / "Dockerfile"
DEBIAN, PYTHON = "trixie", "3.13"  # the release whose own Python has the version of the Dockerfile
PACKAGES = ("ca-certificates", "passwd", "python3", "python3-venv")
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "newsstand" / "image"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
# How this machine reaches the package index. A step of the Dockerfile sees nothing else of its environment.
NETWORK = (
    *("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST", "PIP_DEFAULT_TIMEOUT"),
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
)


def reason_to_skip() -> str | None:
    """Return why no image can be built on this machine, or None."""
    if os.geteuid() != 0:
        return "building the image's file system needs root"
    for program, package in (("debootstrap", "debootstrap"), ("unshare", "util-linux"), ("apt-get", "apt")):
        if shutil.which(program) is None:
            return f"not installed: {program} (Debian: apt-get install {package})"
    if subprocess.run(["unshare", "--mount", "true"], check=False, capture_output=True).returncode != 0:
        return "this system does not allow mounts of its own (unshare --mount)"
    return None


def instructions(text: str) -> list[tuple[str, str]]:
    """Return each instruction of a Dockerfile with its arguments."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [(word, rest) for line in joined.splitlines() if line for word, _, rest in [line.partition(" ")]]


@dataclass
class Image:
    """The file system of an image, and how its containers start."""

    root: Path
    environment: dict[str, str] = field(default_factory=dict)
    folder: str = "/"
    user: str = "root"
    command: Sequence[str] = ()

    def configure(self, word: str, rest: str) -> None:
        """Follow an instruction that changes no file but a folder's existence."""
        match word:
            case "ARG" | "FROM" | "EXPOSE":
                pass
            case "ENV":
                self.environment |= dict(pair.split("=", 1) for pair in shlex.split(rest))
            case "WORKDIR":
                self.folder = rest
                _inside(self.root, rest).mkdir(parents=True, exist_ok=True)
            case "USER":
                self.user = rest
            case "CMD":
                self.command = [part.strip(' "') for part in rest.strip("[]").split(",")]
            case _:
                raise ValueError(f"The instruction {word} is not supported here")

    def user_and_group(self) -> tuple[int, int]:
        """Return the numbers of the image's user."""
        rows = [row.split(":") for row in (self.root / "etc/passwd").read_text().splitlines()]
        return next((int(uid), int(gid)) for name, _, uid, gid, *_ in rows if name == self.user)


def build(root: Path) -> Image:
    """
    Run the steps of the Dockerfile in a new folder.

    Of several runs at a time, one builds.

    :raises ValueError: for an instruction that is not supported here.
    """
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _build(root)


def _build(root: Path) -> Image:
    debian = _cached("debian", DEBIAN, *PACKAGES)
    if not debian.exists():
        _debian(debian)
    _clone(debian, root)
    image, key = Image(root), debian.name
    for word, rest in instructions(DOCKERFILE.read_text()):
        key += f"{word} {rest}"
        if word == "COPY":
            key += _copy(image, rest.split())
        elif word == "RUN" and "pip install" in rest:
            _install(image, rest, _cached("requirements", key))
        elif word == "RUN":
            _run_step(image, rest)
        else:
            image.configure(word, rest)
    return image


def _clone(folder: Path, target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    subprocess.run(["cp", "-a", folder, target], check=True)


def _install(image: Image, script: str, layer: Path) -> None:
    """Run the step that installs the requirements, or take its result from the cache."""
    if layer.exists():
        _clone(layer, image.root)
    else:
        _run_step(image, script)
        _keep(image.root, layer)


def _cached(name: str, *parts: str) -> Path:
    return CACHE / f"{name}-{hashlib.sha256(repr(parts).encode()).hexdigest()[:16]}"


def _keep(made: Path, layer: Path) -> None:
    """Copy a folder to the cache, in place of former ones."""
    for former in CACHE.glob(f"{layer.name.partition('-')[0]}-*"):
        shutil.rmtree(former)
    draft = Path(f"{layer}.draft")
    _clone(made, draft)
    draft.rename(layer)


def _mirrors() -> list[str]:
    """Return the mirrors of Debian that this machine uses; none before its first `apt-get update`."""
    listed = ["apt-get", "indextargets", "--format", "$(REPO_URI) $(LABEL)", "Created-By: Packages"]
    lines = subprocess.run(listed, check=True, capture_output=True, text=True).stdout.splitlines()
    return [uri for uri, label in (line.split(" ", 1) for line in lines) if label == "Debian"]


def _debian(layer: Path) -> None:
    """Install Debian from the mirror of this machine, with its Python as `python` and `pip` in /usr/local."""
    for former in CACHE.glob("debian-*"):
        shutil.rmtree(former)
    if not (mirrors := _mirrors()):
        subprocess.run(["apt-get", "-qq", "update"], check=True)
        mirrors = _mirrors()
    draft = Path(f"{layer}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    subprocess.run(
        ["debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", DEBIAN, draft, mirrors[0]], check=True
    )
    subprocess.run(["chroot", draft, "python3", "-m", "venv", "/usr/local"], check=True)
    draft.rename(layer)


def _inside(root: Path, path: str) -> Path:
    return root / path.lstrip("/")


def _copy(image: Image, words: Sequence[str]) -> str:
    """Copy files as COPY does, and return a hash of what was copied."""
    *sources, to = words
    target = _inside(image.root, to if to.startswith("/") else f"{image.folder}/{to}")
    copied = hashlib.sha256()
    for source in sources:
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, target, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
        else:
            target.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / source, target)
            copied.update((ROOT / source).read_bytes())
    return copied.hexdigest()


def _run_step(image: Image, script: str) -> None:
    """Run a step of the Dockerfile as root."""
    files = [path for path in (CERTIFICATES, Path("/etc/resolv.conf"), Path("/etc/hosts")) if path.exists()]
    reached = {name: os.environ[name] for name in NETWORK if name in os.environ} | {"PIP_CERT": str(CERTIFICATES)}
    arguments: list[str | Path] = [
        *("unshare", "--mount", "--propagation", "private", "sh", "-euc"),
        "\n".join(
            [*_devices(image.root), *(_bind(path, _inside(image.root, str(path))) for path in files), 'exec "$@"']
        ),
        *("sh", "chroot", image.root, "env", "-i", f"PATH={PATH}"),
        *(f"{name}={value}" for name, value in (image.environment | reached).items()),
        *("sh", "-euc", f"cd {image.folder}; {script}"),
    ]
    subprocess.run(arguments, check=True, stdin=subprocess.DEVNULL)


def _devices(root: Path) -> Iterator[str]:
    yield f"mount -t proc proc {root}/proc"
    yield f"mount --rbind /dev {root}/dev"


def _bind(source: Path, target: Path, *, read_only: bool = True) -> str:
    """Return the commands that show a file or folder of this machine in the image."""
    create = f"mkdir -p {target}" if source.is_dir() else f"mkdir -p {target.parent}; [ -e {target} ] || touch {target}"
    confine = f"; mount -o remount,bind,ro {target}" if read_only else ""
    return f"{create}; mount --bind {source} {target}{confine}"


@dataclass(frozen=True)
class Containers:
    """Containers of the image: each service runs as the compose file says, in the network of this machine."""

    image: Image
    volumes: Path  # the folder of the named volumes
    database: str  # a URL with the folder of the server's socket

    def program(self, service: str, command: Sequence[str], environment: Mapping[str, str]) -> Program:
        """Return the program that runs a command of a service."""
        how, root = SERVICES[service], self.image.root
        uid, gid = self.image.user_and_group()
        script = [f"mount --bind {root} {root}", *_devices(root)]
        script += [f"mount -t tmpfs -o mode=1777 tmpfs {root}{path}" for path in how["tmpfs"]]
        script += [self._volume(volume) for volume in how.get("volumes", [])]
        socket = Path(parse_qs(urlsplit(self.database).query)["host"][0])
        script.append(_bind(socket, _inside(root, str(socket))))
        if how["read_only"]:
            script.append(f"mount -o remount,bind,ro {root}")
        privileges = ["--reuid", str(uid), "--regid", str(gid), "--clear-groups"]
        if how["cap_drop"] == ["ALL"]:
            privileges += ["--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all"]
        if "no-new-privileges:true" in how["security_opt"]:
            privileges.append("--no-new-privs")
        variables = {"PATH": PATH} | self.image.environment | dict(environment)
        arguments: list[str | Path] = [
            *("unshare", "--mount", "--propagation", "private", "sh", "-euc", "\n".join([*script, 'exec "$@"'])),
            *("sh", "chroot", root, "env", "-i"),
            *(f"{name}={value}" for name, value in variables.items()),
            *("setpriv", *privileges, "sh", "-euc", f'cd {self.image.folder}; exec "$@"', "sh", *command),
        ]
        return Program(arguments, {}, ROOT)

    def _volume(self, text: str) -> str:
        """Return the command that mounts a volume. A new named one belongs to whom its folder in the image does."""
        source, target, *options = text.split(":")
        inside = _inside(self.image.root, target)
        if source.startswith("."):
            return _bind((ROOT / source).resolve(), inside, read_only="ro" in options)
        volume = self.volumes / source
        if not volume.exists():
            subprocess.run(["cp", "-a", inside, volume], check=True)
        return _bind(volume, inside, read_only=False)


def python_of(text: str) -> str:
    """Return the version of Python that a Dockerfile asks for."""
    found = re.search(r"^ARG PYTHON_IMAGE=python:(\d+\.\d+)-slim$", text, re.MULTILINE)
    if found is None:
        raise ValueError("The Dockerfile names no version of Python")
    return found[1]
