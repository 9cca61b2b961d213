"""``python -m tests.soak_ha [SCENARIO ...]``: run scenarios, and append a line of JSON for each run to a file."""

import argparse
import asyncio
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from subprocess import CalledProcessError

from asyncpg import PostgresError

from scripts.system_packages import HA_PACKAGES, Machine, reason
from tests.soak_ha import restore
from tests.soak_ha.checks import judge
from tests.soak_ha.cluster import Cluster
from tests.soak_ha.configurations import TTL
from tests.soak_ha.load import Load
from tests.soak_ha.scenarios import SCENARIOS, Scenario
from tests.soak_ha.site import Reader, Site

READERS, REFUNDS = 60, 12  # who pay throughout; who request a refund in each run
BEFORE_SECONDS, AFTER_SECONDS = 6.0, 8.0  # of load before the fault, and after the first success since
RECOVERY_SECONDS = 120.0
RESULTS, MEMORY = Path("var/soak-ha.jsonl"), Path("/dev/shm")


async def run_once(cluster: Cluster, site: Site, scenario: Scenario, readers: list[Reader], rate: float) -> bool:
    """Run a scenario under load and append its result; return whether everything was right."""
    await cluster.repair()
    refunds = await site.subscribe(REFUNDS)
    load = Load(site, readers, refunds, rate=rate, through=scenario.through)
    stop, tracebacks = asyncio.Event(), site.logged("Traceback")
    running = asyncio.create_task(load.run(stop))
    await asyncio.sleep(BEFORE_SECONDS)
    broken_at = load.now()
    try:
        await scenario.run(cluster, site)
        await _wait_until_back(load)
        await asyncio.sleep(AFTER_SECONDS)
    finally:
        stop.set()
        record = await running
    await cluster.repair()
    verdict = await judge(site, scenario, record, broken_at=broken_at)
    _append(scenario.name, verdict.figures | {"tracebacks": site.logged("Traceback") - tracebacks}, verdict.wrong, rate)
    return not verdict.wrong


async def _wait_until_back(load: Load) -> None:
    """Wait until events have been acknowledged for two seconds without a pause."""
    deadline = time.monotonic() + RECOVERY_SECONDS
    began = load.now()
    while time.monotonic() < deadline:
        recent = [at for at in load.record.acknowledged.values() if at > max(began, load.now() - 2)]
        if len(recent) >= 10 and load.now() - began > 4:
            return
        await asyncio.sleep(0.2)


def _append(name: str, figures: dict[str, object], wrong: list[str], rate: float) -> None:
    load = os.getloadavg()
    line = {
        "scenario": name,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "ok": not wrong,
        "ttl": TTL,
        "rate": rate,
        **figures,
        "machine_load": round(load[0], 1),
        "cores": os.cpu_count(),
        "wrong": wrong,
    }
    RESULTS.parent.mkdir(exist_ok=True)
    with RESULTS.open("a") as results:
        results.write(json.dumps(line) + "\n")
    print(f"{'ok   ' if not wrong else 'WRONG'} {name}: {json.dumps({**figures, 'wrong': wrong})}", flush=True)


class Rig:
    """The cluster and the site, in a folder of their own."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="newsstand-ha-", dir=MEMORY if MEMORY.is_dir() else None))
        self.folder.chmod(0o755)
        self.cluster = Cluster(self.folder)
        self.site = Site(self.cluster, self.folder)
        self.readers: list[Reader] = []

    async def start(self) -> None:
        """Start everything, with readers who pay."""
        print(f"Starting three nodes, two API processes and two workers in {self.folder} ...", flush=True)
        await self.cluster.start()
        await self.site.start()
        self.readers = await self.site.subscribe(READERS)

    def stop(self, *, keep: bool) -> None:
        """Stop everything, and delete the folder."""
        self.site.stop()
        self.cluster.stop()
        if keep:
            print(f"Logs: {self.folder}")
        else:
            shutil.rmtree(self.folder, ignore_errors=True)


async def run(wanted: list[str], *, times: int, rate: float, keep: bool) -> int:
    """Run the scenarios that are wanted, each several times. Return the number of runs with a fault."""
    runs: list[Scenario | None] = [one for one in SCENARIOS if one.name in wanted for _ in range(times)]
    runs += [None] * (times if restore.NAME in wanted else 0)
    rig: Rig | None = None
    failed = 0
    try:
        for scenario in runs:
            try:
                if rig is None:
                    rig = Rig()
                    await rig.start()
                if scenario is not None:
                    failed += not await run_once(rig.cluster, rig.site, scenario, rig.readers, rate)
                    continue
                figures, wrong = await restore.run(rig.cluster, rig.site, rig.readers, rate)
            except (
                RuntimeError,
                OSError,
                PostgresError,
                CalledProcessError,
            ) as broken:  # the installation did not recover
                figures, wrong = {}, [f"{type(broken).__name__}: {broken}"]
            _append(scenario.name if scenario else restore.NAME, figures, wrong, rate)
            failed += bool(wrong)
            if rig is not None:  # the next run gets a new installation
                rig.stop(keep=keep)
                rig = None
    finally:
        if rig is not None:
            rig.stop(keep=keep)
    return failed


def main() -> int:
    """Parse the arguments and run. Return 1 if a run had a fault."""
    names = [*(one.name for one in SCENARIOS), restore.NAME]
    parser = argparse.ArgumentParser(prog="python -m tests.soak_ha", description=__doc__)
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help="which ones; by default all")
    parser.add_argument("--times", type=int, default=1, help="how often each scenario runs (default: 1)")
    parser.add_argument("--rate", type=float, default=80.0, help="requests per second (default: 80)")
    parser.add_argument("--keep", action="store_true", help="keep the logs")
    parser.add_argument("--list", action="store_true", help="list the scenarios")
    options = parser.parse_args()
    if options.list:
        for one in SCENARIOS:
            print(f"{one.name:17} {one.words}")
        print(f"{restore.NAME:17} {restore.WORDS}")
        return 0
    unknown = set(options.scenarios) - set(names)
    if unknown or not 1 <= options.times <= 100 or not 1 <= options.rate <= 500:
        parser.error(f"unknown: {' '.join(unknown)}" if unknown else "--times is 1 to 100, --rate is 1 to 500")
    missing = Machine().missing(HA_PACKAGES)
    if missing:
        print(reason(missing), file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that nothing outlives the rig
    failed = asyncio.run(run(options.scenarios or names, times=options.times, rate=options.rate, keep=options.keep))
    print(f"{failed} runs with a fault. All results: {RESULTS}" if failed else f"All well. Results: {RESULTS}")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
