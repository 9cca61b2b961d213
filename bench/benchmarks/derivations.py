"""
Following a change of the calendar, and committing entitlements.

``calendar_follow_vs_derive`` doubles an issue for every reader, and takes that back in the next run. It counts the
subscriptions that are queued, derived and stored per second, against the same derivation in memory, without a database.
Beside it, it prints how long workers take to claim other work meanwhile, against before.

``entitlement_commits_vs_no_notify`` changes the access of readers in transactions of their own, over eight connections, as
the service does: with the change feed's index and trigger, and with notifications after the commits. The baseline is a
database without them.
"""

import asyncio
import itertools
import json
import statistics
import time
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

import asyncpg
import uvloop

from app.context import Context
from app.db import derivations as queue
from app.db import editions, terms
from app.db import issues as issues_db
from app.db import subscriptions as subscriptions_db
from app.db.engine import leases
from app.db.engine.change_feed import ENTITLEMENTS
from app.db.engine.notifications import Notifier
from app.db.engine.pool import open_pool
from app.domain import derivations as rules_of_derivations
from app.domain.calendar_changes import affected_terms
from app.domain.entitlements import combine_grants, dump
from app.domain.issues import Calendar
from app.main import open_context
from app.services import catalogue, derivations
from app.settings import Settings
from bench import load_generator, seed_data
from bench.environment import ROOT, Environment
from bench.runner import Benchmark, Side

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

MOST_READERS = 50_000
CLIENTS = 8
IN_MEMORY = 1_000  # subscriptions of the baseline
CLAIM_EVERY = 0.01  # seconds
SAVE = """
UPDATE entitlements SET access = $2::text::jsonb, version = version + 1{changed_in} WHERE sub = $1
"""
CHANGED_IN = ", changed_in = pg_current_xact_id()::text::bigint"


@dataclass(slots=True)
class FollowedCalendar:
    """A database whose calendar changes back and forth."""

    environment: Environment
    settings: Settings
    queue_seconds: float = 0.0  # for each subscription
    quiet_claim: float = 0.0  # seconds

    @asynccontextmanager
    async def context(self) -> "AsyncIterator[Context]":
        async with open_context(self.settings, catalogue.load(ROOT / "catalogue.toml")) as ctx:
            yield ctx

    async def change(self, ctx: Context) -> None:
        """Double an issue that most terms contain, or make it an ordinary one again, and queue the affected terms."""
        zone = ctx.rules.zone
        async with ctx.sessions.begin() as session:
            await editions.lock_changes(session)
            before = (await editions.current(session, zone)).calendar
            issue = next(issue for issue in before.issues if issue.number == 20)
            changed = replace(issue, counts_as=3 - issue.counts_as)
            after = Calendar([changed if one.number == changed.number else one for one in before.issues], zone)
            await issues_db.save(session, [changed])
            change = affected_terms(before, after)
            assert change is not None
            replaced = await editions.publish(session)
            run_id = await queue.add_run(session, queue.CALENDAR, change.dump(), replaced=replaced)
        started_at = time.perf_counter()
        await derivations.queue_affected(ctx, run_id, now=await ctx.clock.policy())
        seconds = time.perf_counter() - started_at
        (run, *_) = await derivations.recent(ctx)
        self.queue_seconds = seconds / max(1, run.found)

    async def follow(self, seconds: float) -> load_generator.Run:
        async with self.context() as ctx:
            if not self.quiet_claim:
                await derive_everything(ctx)  # the first time, each term gets its last issue and its offer
                self.quiet_claim = await claim_repeatedly(ctx, partial(asyncio.sleep, 0.5))
            visited, latencies = 0, []
            started_at, cpu = time.perf_counter(), time.thread_time()

            async def slices() -> None:
                nonlocal visited
                is_last = True
                while time.perf_counter() < started_at + seconds:
                    if is_last:
                        await self.change(ctx)
                    began_at = time.perf_counter()
                    result = await derivations.derive_slice(ctx, now=await ctx.clock.policy())
                    visited, is_last = visited + result.taken, result.is_last
                    latencies.append(time.perf_counter() - began_at)

            busy_claim = await claim_repeatedly(ctx, slices)
            elapsed = time.perf_counter() - started_at
            self.environment.report(
                f"  claims of other work: {busy_claim * 1000:.1f} ms meanwhile, {self.quiet_claim * 1000:.1f} ms before, "
                f"ratio {busy_claim / self.quiet_claim:.2f}; queueing took {self.queue_seconds * 1e6:.0f} us each"
            )
        latencies.sort()
        return load_generator.Run(
            visited / elapsed, latencies[int(len(latencies) * 0.99)], (time.thread_time() - cpu) / elapsed
        )


async def derive_everything(ctx: Context) -> None:
    await derivations.record_offers(ctx, now=await ctx.clock.policy())
    for run in await derivations.unfinished(ctx):
        await derivations.queue_affected(ctx, run.id, now=await ctx.clock.policy())
    while not (await derivations.derive_slice(ctx, now=await ctx.clock.policy())).is_last:
        pass


async def claim_repeatedly(ctx: Context, work: Callable[[], Awaitable[None]]) -> float:
    """Claim other work while ``work`` runs, and return the median time in seconds."""
    taken: list[float] = []
    task = asyncio.ensure_future(work())
    while not task.done():
        began_at = time.perf_counter()
        async with ctx.sessions.begin() as session:
            await leases.claim(session, "refunds", owner="bench", lease=timedelta(seconds=10), limit=10)
        taken.append(time.perf_counter() - began_at)
        await asyncio.sleep(CLAIM_EVERY)
    await task
    return statistics.median(taken)


async def derive_in_memory(settings: Settings, seconds: float) -> load_generator.Run:
    """Derive the same subscriptions without a database."""
    async with open_context(settings, catalogue.load(ROOT / "catalogue.toml")) as ctx, ctx.sessions.begin() as session:
        owners = [f"rdr_{number}" for number in range(IN_MEMORY)]
        owned = [one for its in (await subscriptions_db.of_subscribers(session, owners)).values() for one in its]
        terms_of = await terms.of_subscriptions(session, [one.id for one in owned])
        edition, rules = await editions.current(session, ctx.rules.zone), ctx.rules
    started_at, done = time.perf_counter(), 0
    while time.perf_counter() < started_at + seconds:
        for one in owned:
            derived = rules_of_derivations.derive(one, terms_of[one.id], edition, rules)
            json.dumps(dump(combine_grants(derived.grants, ["ended"])))
        done += len(owned)
    elapsed = time.perf_counter() - started_at
    return load_generator.Run(done / elapsed, elapsed / done, 0.0)


def _on_server_core(
    environment: Environment, run: Callable[[float], Awaitable[load_generator.Run]], *, load: bool = False
) -> Side:
    def side(seconds: float) -> load_generator.Run:
        core = environment.on_load_core() if load else environment.on_server_core()
        with core, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(run(seconds))  # type: ignore[arg-type]

    return side


def _follow_sides(environment: Environment) -> tuple[Side, Side]:
    dsn, readers = environment.migrated_database("followed"), min(environment.readers, MOST_READERS)
    environment.report(f"Inserting {readers:,} readers with terms, payments, grants and events ...")
    loaded = catalogue.load(ROOT / "catalogue.toml")
    asyncio.run(seed_data.fill_history(dsn, readers, next(iter(loaded.plans.values()))))
    settings = Settings(database_url=dsn, data_dir=environment.folder(), log_level="WARNING")
    followed = FollowedCalendar(environment, settings)
    return _on_server_core(environment, followed.follow), _on_server_core(
        environment, partial(derive_in_memory, settings)
    )


async def commit_repeatedly(
    dsn: str, subs: "itertools.cycle[str]", seconds: float, *, notifies: bool
) -> load_generator.Run:
    """Change the access of readers over eight connections."""
    statement = SAVE.format(changed_in=CHANGED_IN if notifies else "")
    access = json.dumps({"otherwise": "ended", "features": {"archive": [[1, 2, "paid_term", "grt_in_1"]]}})
    latencies: list[float] = []
    pool = await open_pool(dsn, size=2, pooler=False)
    notifier = Notifier(pool)
    connections = [await asyncpg.connect(dsn) for _ in range(CLIENTS)]
    started_at, cpu = time.perf_counter(), time.thread_time()

    async def commit(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        while (began_at := time.perf_counter()) < started_at + seconds:
            sub = next(subs)
            await connection.execute(statement, sub, access)
            if notifies:
                notifier.send({(ENTITLEMENTS, sub)})
            latencies.append(time.perf_counter() - began_at)

    await asyncio.gather(*map(commit, connections))
    elapsed = time.perf_counter() - started_at
    await notifier.close()
    for connection in connections:
        await connection.close()
    await pool.close()
    latencies.sort()
    return load_generator.Run(
        len(latencies) / elapsed, latencies[int(len(latencies) * 0.99)], (time.thread_time() - cpu) / elapsed
    )


async def _remove_feed(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    await connection.execute(
        "DROP TRIGGER note_entitlement_change ON entitlements; DROP TRIGGER tell_of_entitlement ON entitlements;"
        "DROP INDEX entitlements_changed_in_idx"
    )
    await connection.close()


def _commit_sides(environment: Environment) -> tuple[Side, Side]:
    readers = min(environment.readers, MOST_READERS)
    plan = next(iter(catalogue.load(ROOT / "catalogue.toml").plans.values()))
    sides = []
    for name, notifies in (("committed", True), ("committed_silently", False)):
        dsn = environment.migrated_database(name)
        asyncio.run(seed_data.fill_entitlements(dsn, readers, plan))
        if not notifies:
            asyncio.run(_remove_feed(dsn))
        subs = itertools.cycle(seed_data.reader_sub(number) for number in range(readers))
        run = partial(commit_repeatedly, dsn, subs, notifies=notifies)
        sides.append(_on_server_core(environment, run, load=True))
    return sides[0], sides[1]


BENCHMARKS = (
    Benchmark(
        name="calendar_follow_vs_derive",
        unit="subscriptions/s",
        description="apply a change of the calendar to every reader, against deriving the same in memory",
        sides=_follow_sides,
    ),
    Benchmark(
        name="entitlement_commits_vs_no_notify",
        unit="commits/s",
        description="commit changed entitlements over eight connections, against a table without a change feed",
        sides=_commit_sides,
    ),
)
