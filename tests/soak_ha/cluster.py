"""Three PostgreSQL nodes under Patroni, with etcd, HAProxy and PgBouncer."""

import asyncio
import contextlib
import os
import shutil
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg

from tests.soak_ha import configurations
from tests.soak_ha.configurations import DATABASE, OWNER, SUPERUSER
from tests.soak_ha.processes import HOST, UNPRIVILEGED, Child, family, free_ports, signal_all, wait_for_port

HEALTHY_SECONDS = 120.0


class Node:
    """One PostgreSQL server and the Patroni that manages it."""

    def __init__(self, name: str, folder: Path, *, port: int, rest: int, etcd: int, archive: Path) -> None:
        self.name, self.folder, self.port, self.rest = name, folder, port, rest
        make_folder(folder)
        file = folder / "patroni.yml"
        file.write_text(configurations.patroni(name, etcd=etcd, rest=rest, port=port, folder=folder, archive=archive))
        self.patroni = child(f"patroni-{name}", ["/usr/bin/patroni", str(file)], folder)

    @property
    def postmaster(self) -> int | None:
        """The process ID of the server; None if it does not run."""
        with contextlib.suppress(OSError, ValueError, IndexError):
            pid = int((self.folder / "data" / "postmaster.pid").read_text().splitlines()[0])
            os.kill(pid, 0)
            return pid
        return None

    def processes(self) -> list[int]:
        """Return all processes of the node."""
        postmaster = self.postmaster
        found = family(self.patroni.pid) if self.patroni.is_running() else []
        return [*found, *(one for one in (family(postmaster) if postmaster else []) if one not in found)]

    def kill_postmaster(self) -> None:
        """Kill the server's main process. Patroni notices that its children end."""
        if self.postmaster is not None:
            os.kill(self.postmaster, signal.SIGKILL)

    def kill(self) -> None:
        """Kill everything, as if the machine lost its power."""
        signal_all(self.processes(), signal.SIGKILL)
        self.patroni.kill()

    def freeze(self) -> list[int]:
        """Stop everything with SIGSTOP, as if the machine hung. Return the process IDs, to continue them later."""
        frozen = self.processes()
        signal_all(frozen, signal.SIGSTOP)
        return frozen


class Cluster:
    """The database as Newsstand sees it: ``primary`` is HAProxy's port, ``pooler`` is PgBouncer's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        ports = free_ports(10)
        etcd, etcd_peer, self.primary, self.pooler = ports[:4]
        self.archive = make_folder(folder / "archive")
        self.etcd = child("etcd", etcd_command(make_folder(folder / "etcd"), etcd, etcd_peer), folder / "etcd")
        self._etcd_port = etcd
        self.nodes = [
            Node(
                name,
                folder / name,
                port=ports[4 + 2 * index],
                rest=ports[5 + 2 * index],
                etcd=etcd,
                archive=self.archive,
            )
            for index, name in enumerate(("one", "two", "three"))
        ]
        proxies = make_folder(folder / "proxies")
        self._balancer_file = proxies / "primary.cfg"
        self.balance({node.name: (node.port, node.rest) for node in self.nodes})
        (proxies / "users.txt").write_text(f'"{OWNER}" ""\n')
        (proxies / "pgbouncer.ini").write_text(configurations.pgbouncer(self.pooler, self.primary, proxies))
        self.balancer = child("haproxy-database", ["/usr/sbin/haproxy", "-db", "-f", str(self._balancer_file)], proxies)
        self.bouncer = child("pgbouncer", ["/usr/sbin/pgbouncer", str(proxies / "pgbouncer.ini")], proxies)

    def balance(self, nodes: dict[str, tuple[int, int]]) -> None:
        """Write the balancer's configuration: the port of each node, and of its REST API."""
        self._balancer_file.write_text(configurations.database_balancer(self.primary, nodes))

    def dsn(self, port: int, *, user: str = OWNER) -> str:
        """Return the URL of the database on a port."""
        return f"postgresql://{user}@{HOST}:{port}/{DATABASE}"

    async def start(self) -> None:
        """Start everything, and create the database."""
        self.etcd.start()
        await wait_for_port(self._etcd_port, self.etcd)
        for node in self.nodes:
            node.patroni.start()
        leader = await self.wait_until_healthy()
        connection = await asyncpg.connect(host=HOST, port=leader.port, user=SUPERUSER, database="postgres")
        try:
            await connection.execute(f"CREATE ROLE {OWNER} LOGIN")
            await connection.execute(f"CREATE DATABASE {DATABASE} OWNER {OWNER}")
        finally:
            await connection.close()
        for one, port in ((self.balancer, self.primary), (self.bouncer, self.pooler)):
            one.start()
            await wait_for_port(port, one)

    async def state(self) -> list[dict[str, Any]]:
        """Return the members as any node reports them; none if no node answers."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as http:
            for node in self.nodes:
                with contextlib.suppress(aiohttp.ClientError, TimeoutError, OSError):
                    async with http.get(f"http://{HOST}:{node.rest}/cluster") as answer:
                        return list((await answer.json())["members"])
        return []

    async def leader(self) -> Node:
        """Return the node that is the primary, as soon as there is one."""
        deadline = time.monotonic() + HEALTHY_SECONDS
        while time.monotonic() < deadline:
            for member in await self.state():
                if member["role"] == "leader" and member["state"] == "running":
                    return next(node for node in self.nodes if node.name == member["name"])
            await asyncio.sleep(0.5)
        raise RuntimeError(f"no primary: {await self.state()}")

    async def wait_until_healthy(self) -> Node:
        """Wait until there is a primary with a synchronous standby and another one. Return the primary."""
        deadline = time.monotonic() + HEALTHY_SECONDS
        members: list[dict[str, Any]] = []
        while time.monotonic() < deadline:
            members = await self.state()
            up = [one for one in members if one["state"] in {"running", "streaming"}]
            roles = sorted(one["role"] for one in up)
            if roles == ["leader", "replica", "sync_standby"]:
                return await self.leader()
            await asyncio.sleep(0.5)
        logs = "\n".join(node.patroni.output()[-1500:] for node in self.nodes)
        raise RuntimeError(f"the cluster is not healthy: {members}\n{logs}")

    async def repair(self) -> Node:
        """Start whatever does not run, and wait until the cluster is healthy again."""
        for one in (self.etcd, *(node.patroni for node in self.nodes), self.balancer, self.bouncer):
            if not one.is_running():
                one.start()
        return await self.wait_until_healthy()

    async def switch_over(self) -> None:
        """Make another node the primary."""
        leader = await self.leader()
        candidate = next(one["name"] for one in await self.state() if one["role"] == "sync_standby")
        async with aiohttp.ClientSession() as http:
            order = {"leader": leader.name, "candidate": candidate}
            async with http.post(f"http://{HOST}:{leader.rest}/switchover", json=order) as answer:
                if answer.status != 200:
                    raise RuntimeError(f"no switchover: {answer.status} {await answer.text()}")

    @asynccontextmanager
    async def read_only(self) -> AsyncIterator[None]:
        """Make every new transaction of the primary read only."""
        leader = await self.leader()
        connection = await asyncpg.connect(
            self.dsn(leader.port, user=SUPERUSER), server_settings={"default_transaction_read_only": "off"}
        )
        try:
            await connection.execute("ALTER SYSTEM SET default_transaction_read_only = on")
            await connection.execute("SELECT pg_reload_conf()")
            yield
            await connection.execute("ALTER SYSTEM RESET default_transaction_read_only")
            await connection.execute("SELECT pg_reload_conf()")
        finally:
            await connection.close()

    def stop(self) -> None:
        """Kill everything."""
        for node in self.nodes:
            node.kill()
        for one in (self.bouncer, self.balancer, self.etcd):
            one.kill()


def etcd_command(folder: Path, port: int, peer: int) -> list[str]:
    """Return the command of an etcd with one member."""
    client, between = f"http://{HOST}:{port}", f"http://{HOST}:{peer}"
    return [
        *("/usr/bin/etcd", "--name", "one", "--data-dir", str(folder / "data"), "--log-level", "warn"),
        "--enable-v2",
        *("--listen-client-urls", client, "--advertise-client-urls", client),
        *("--listen-peer-urls", between, "--initial-advertise-peer-urls", between),
        *("--initial-cluster", f"one={between}"),
    ]


def make_folder(path: Path) -> Path:
    """Create a folder that the unprivileged user owns."""
    path.mkdir(parents=True)
    path.chmod(0o755)
    if os.geteuid() == 0:
        shutil.chown(path, UNPRIVILEGED, UNPRIVILEGED)
    return path


def child(name: str, command: list[str], folder: Path) -> Child:
    """Return a process of the unprivileged user."""
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "HOME": str(folder)}
    return Child(name, command, folder / f"{name}.log", environment, user=UNPRIVILEGED, cwd=folder)
