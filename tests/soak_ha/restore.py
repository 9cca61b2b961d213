"""
The restore of a base backup with its WAL archive to a point in time.

What was acknowledged after that time is lost from the database, and Stripe still has it. The runbook's command must bring it
back: afterwards nothing differs from Stripe, and no refund is paid again when its request is repeated.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import asyncpg

from tests.soak_ha.checks import lost_events, wait_until_done, wrong_refunds
from tests.soak_ha.cluster import Cluster, child, make_folder
from tests.soak_ha.configurations import BIN, DATABASE, REPLICATOR, SUPERUSER
from tests.soak_ha.load import Load, Record
from tests.soak_ha.processes import HOST, Child, family, free_ports, signal_all, wait_for_port
from tests.soak_ha.site import Reader, Site

NAME = "restore"
WORDS = "restore of a base backup to a point in time, then the runbook's recovery"
BEFORE_SECONDS, AFTER_SECONDS = 15.0, 15.0  # of load up to the point in time, and after it
REFUNDS = 16


async def run(cluster: Cluster, site: Site, readers: list[Reader], rate: float) -> tuple[dict[str, object], list[str]]:
    """Run the scenario; return its figures and what is wrong. The cluster is gone afterwards."""
    await cluster.repair()
    leader = await cluster.leader()
    backup = make_folder(cluster.folder / "backup") / "data"
    await _as_postgres(
        str(BIN / "pg_basebackup"),
        *("-h", HOST, "-p", str(leader.port), "-U", REPLICATOR, "-D", str(backup), "-c", "fast", "-X", "none"),
    )
    refunds = await site.subscribe(REFUNDS)
    before, after = refunds[: REFUNDS // 2], refunds[REFUNDS // 2 :]
    await _loaded(site, readers, before, rate, BEFORE_SECONDS)
    point = await _now(leader.port)
    recorded = await _loaded(site, readers, after, rate, AFTER_SECONDS)
    sold = await site.subscribe(4)  # these are missing after the restore
    await _archive_everything(leader.port, cluster.archive)

    await site.stop_service()
    for node in cluster.nodes:
        node.kill()
    server, port = await _restored(cluster, backup, point)
    began = time.monotonic()
    try:
        cluster.balance({"restored": (port, port)})
        _check_the_port_alone(cluster)
        cluster.balancer.kill()
        cluster.balancer.start()
        await wait_for_port(cluster.primary, cluster.balancer)
        connection = await asyncpg.connect(site.direct)
        missing = len(await lost_events(connection, recorded))
        ids = [one.payment for one in refunds]
        kept = await connection.fetchval("SELECT count(*) FROM refunds WHERE payment_id = ANY($1::text[])", ids)
        wrong = await _recover(site, point)
        _, left = await wait_until_done(connection)
        seconds = time.monotonic() - began
        wrong += [f"still due: {one}" for one in left[:5]]
        wrong += await _repeat_refunds(site, readers, refunds, rate)
        status, output, _ = await site.command("reconcile", "--dry-run", "--restart")
        if status != 0:
            wrong.append(f"reconcile --dry-run: {output[-1500:]}")
        wrong += await _without_access(site, sold)
        await connection.close()
    finally:
        signal_all(family(server.pid), signal.SIGKILL)
        server.kill()
    figures: dict[str, object] = {
        "events_lost_by_the_restore": missing,
        "refunds_lost_by_the_restore": len(refunds) - int(kept or 0),
        "recovered_after": round(seconds, 1),
        "refunds": len(recorded.refunded),
    }
    return figures, wrong


async def _loaded(site: Site, readers: list[Reader], refunds: list[Reader], rate: float, seconds: float) -> Record:
    stop = asyncio.Event()
    running = asyncio.create_task(Load(site, readers, refunds, rate=rate).run(stop))
    await asyncio.sleep(seconds)
    stop.set()
    return await running


async def _now(port: int) -> datetime:
    connection = await asyncpg.connect(host=HOST, port=port, user=SUPERUSER, database=DATABASE)
    try:
        found = await connection.fetchval("SELECT clock_timestamp()")
        assert isinstance(found, datetime)
        return found
    finally:
        await connection.close()


async def _archive_everything(port: int, archive: Path) -> None:
    """Switch to the next WAL file, and wait until the last one is in the archive."""
    connection = await asyncpg.connect(host=HOST, port=port, user=SUPERUSER, database=DATABASE)
    try:
        name = await connection.fetchval("SELECT pg_walfile_name(pg_switch_wal())")
        for _ in range(300):
            if (archive / str(name)).exists():
                return
            await asyncio.sleep(0.1)
        raise RuntimeError(f"{name} was not archived")
    finally:
        await connection.close()


async def _restored(cluster: Cluster, backup: Path, point: datetime) -> tuple[Child, int]:
    """Start a server from the backup that replays the archive up to a point in time."""
    (port,) = free_ports(1)
    target = point.astimezone(UTC).isoformat()
    with (backup / "postgresql.auto.conf").open("a") as settings:
        settings.write(f"\nrestore_command = 'cp {cluster.archive}/%f %p'\n")
        settings.write(f"recovery_target_time = '{target}'\nrecovery_target_action = 'promote'\n")
    (backup / "recovery.signal").touch()
    if os.geteuid() == 0:
        shutil.chown(backup / "recovery.signal", SUPERUSER, SUPERUSER)
    options = {
        "port": str(port),
        "listen_addresses": HOST,
        "unix_socket_directories": str(make_folder(cluster.folder / "restored")),
        "archive_mode": "off",
        "synchronous_standby_names": "",
    }
    words = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
    server = child("restored", [str(BIN / "postgres"), "-D", str(backup), *words], cluster.folder / "restored")
    server.start()
    for _ in range(600):
        with contextlib.suppress(OSError, asyncpg.PostgresError):
            connection = await asyncpg.connect(host=HOST, port=port, user=SUPERUSER, database=DATABASE)
            recovering = await connection.fetchval("SELECT pg_is_in_recovery()")
            await connection.close()
            if not recovering:
                return server, port
        await asyncio.sleep(0.2)
    raise RuntimeError(f"the backup was not restored:\n{server.output()}")


def _check_the_port_alone(cluster: Cluster) -> None:
    """Let HAProxy only connect to the restored server, because no Patroni manages it."""
    file = cluster.folder / "proxies" / "primary.cfg"
    text = file.read_text()
    for line in ("    option httpchk OPTIONS /primary\n", "    http-check expect status 200\n"):
        text = text.replace(line, "")
    file.write_text(text)


async def _recover(site: Site, point: datetime) -> list[str]:
    """Do what docs/operate/backup.md says after the backup was restored."""
    await site.must("migrate")
    status, output, errors = await site.command(
        "recover", "--since", point.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    )
    await site.start_service()
    if status == 0 and "Nothing differs from Stripe." in errors:
        return []
    return [f"recovery ended with {status}: {output[-1500:]} {errors[-500:]}"]


async def _repeat_refunds(site: Site, readers: list[Reader], refunds: list[Reader], rate: float) -> list[str]:
    """Repeat the refund requests with their keys, as clients do whose response was lost, and count the money at Stripe."""
    load = Load(site, readers, refunds, rate=rate)
    stop = asyncio.Event()
    running = asyncio.create_task(load.run(stop))
    await asyncio.sleep(2 + 1.5 * len(refunds))
    stop.set()
    running.cancel()  # a request that is refused because the money was returned already would be repeated
    with contextlib.suppress(asyncio.CancelledError):
        await running
    record = Record(refunded=refunds)
    return await wrong_refunds(site, record) + [f"refused: {words}" for words in load.record.refused[:5]]


async def _without_access(site: Site, sold: list[Reader]) -> list[str]:
    async with aiohttp.ClientSession() as http:
        try:
            await site.wait_for_access(http, sold)
        except RuntimeError as missing:
            return [f"sold after the point in time: {missing}"]
    return []


async def _as_postgres(*command: str) -> None:
    step = child("step", list(command), Path(command[command.index("-D") + 1]).parent)

    def execute() -> None:
        step.start()
        assert step.popen is not None
        if step.popen.wait() != 0:
            raise subprocess.CalledProcessError(step.popen.returncode, command, step.output())

    await asyncio.to_thread(execute)
