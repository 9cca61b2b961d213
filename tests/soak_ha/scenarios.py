"""What breaks in each scenario. A scenario returns when everything that it broke has been repaired or may repair itself."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tests.soak_ha.cluster import Cluster
from tests.soak_ha.configurations import TTL
from tests.soak_ha.processes import signal_all
from tests.soak_ha.site import Site

FROZEN_SECONDS, READ_ONLY_SECONDS = 60, 15
DOWN_SECONDS = 5  # until somebody starts again what doesn't start by itself
BACK_WITHIN = TTL + 10  # seconds from the fault to the next event that is acknowledged


@dataclass(frozen=True, slots=True)
class Scenario:
    """
    A fault.

    :param down: how many seconds of the outage the scenario itself lasts: the time until somebody repairs it.
    :param through: the balancer that the load goes through.
    :param lossless: no request may fail at all.
    """

    name: str
    words: str
    run: Callable[[Cluster, Site], Awaitable[None]]
    down: float = 0
    through: str = "haproxy"
    lossless: bool = False


async def _kill_postmaster(cluster: Cluster, _: Site) -> None:
    (await cluster.leader()).kill_postmaster()


async def _kill_node(cluster: Cluster, _: Site) -> None:
    (await cluster.leader()).kill()


async def _kill_patroni(cluster: Cluster, _: Site) -> None:
    (await cluster.leader()).patroni.kill()


async def _freeze_node(cluster: Cluster, _: Site) -> None:
    frozen = (await cluster.leader()).freeze()
    try:
        await asyncio.sleep(FROZEN_SECONDS)
    finally:
        signal_all(frozen, signal.SIGCONT)


async def _switch_over(cluster: Cluster, _: Site) -> None:
    await cluster.switch_over()


async def _kill_haproxy(cluster: Cluster, _: Site) -> None:
    cluster.balancer.kill()
    await asyncio.sleep(DOWN_SECONDS)
    cluster.balancer.start()


async def _kill_pgbouncer(cluster: Cluster, _: Site) -> None:
    cluster.bouncer.kill()
    await asyncio.sleep(DOWN_SECONDS)
    cluster.bouncer.start()


async def _kill_all_nodes(cluster: Cluster, _: Site) -> None:
    for node in cluster.nodes:
        node.kill()
    await asyncio.sleep(DOWN_SECONDS)
    for node in cluster.nodes:
        node.patroni.start()


async def _read_only(cluster: Cluster, _: Site) -> None:
    async with cluster.read_only():
        await asyncio.sleep(READ_ONLY_SECONDS)


async def _restart_each_server(_: Cluster, site: Site) -> None:
    for number in range(len(site.servers)):
        await site.restart(number)


async def _restart_each_worker(_: Cluster, site: Site) -> None:
    for worker in site.workers:
        await worker.stop()
        worker.start()
        await asyncio.sleep(3)


SCENARIOS = (
    Scenario("kill-postmaster", "kill -9 of the primary's postmaster", _kill_postmaster),
    Scenario("kill-node", "kill -9 of everything on the primary's node", _kill_node),
    Scenario("kill-patroni", "kill -9 of the primary's Patroni; PostgreSQL continues", _kill_patroni),
    Scenario("freeze-node", f"SIGSTOP of the primary's node for {FROZEN_SECONDS} seconds", _freeze_node),
    Scenario("switchover", "a planned switchover to the synchronous standby", _switch_over),
    Scenario("kill-haproxy", "kill -9 of HAProxy before the database", _kill_haproxy, down=DOWN_SECONDS),
    Scenario("kill-pgbouncer", "kill -9 of PgBouncer", _kill_pgbouncer, down=DOWN_SECONDS),
    Scenario("kill-all-nodes", "kill -9 of all three nodes at once", _kill_all_nodes, down=DOWN_SECONDS),
    Scenario("read-only", f"a read-only primary for {READ_ONLY_SECONDS} seconds", _read_only, down=READ_ONLY_SECONDS),
    Scenario("rolling-haproxy", "restart of each API process behind HAProxy", _restart_each_server, lossless=True),
    Scenario(
        "rolling-nginx",
        "restart of each API process behind nginx",
        _restart_each_server,
        through="nginx",
        lossless=True,
    ),
    Scenario("rolling-workers", "restart of each worker", _restart_each_worker, lossless=True),
)
