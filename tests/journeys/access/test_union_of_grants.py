"""
All check methods agree for any grants at any time, and ending one grant keeps what another one gives.

The expected answers come from the rows of the grants, not from the code under test.
"""

import json
import random
import secrets
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from app.db.engine.session import Sessions, make_engine, make_sessions
from app.domain.plans import Catalogue
from app.services import catalogue
from tests.support.check_methods import Checker, CheckResult, methods_that_differ, open_checker
from tests.support.grant_scenarios import (
    ANNOUNCED_DATE,
    DAYS,
    FIRST_DAY,
    GivenSubscription,
    add_subscription,
    end_subscription,
    write_two_plan_catalogue,
)
from tests.support.manual_clock import ManualClock, manual_clock
from tests.support.shop import Person, Shop, open_shop

Periods = list[tuple[int, int, str]]


@dataclass(frozen=True)
class World:
    """A shop with a clock that can be set to any time, and a checker for all check methods."""

    shop: Shop
    hands: ManualClock
    offer: Catalogue
    sessions: Sessions
    asker: Checker

    async def wait_until_known(self, reader: Person) -> None:
        """Wait until the service returns what the row has."""
        row = f"SELECT coalesce(max(version), 0) AS version FROM entitlements WHERE sub = '{reader.sub}'"
        version = (await self.shop.rows(row))[0]["version"]
        while (await self.shop.get("/v1/me/entitlements", reader)).json()["version"] != version:
            pass

    async def periods(self, reader: Person, *, but: str | None = None) -> dict[str, Periods]:
        """Return the periods that a reader's grants give, by feature, except those of one grant."""
        rows = await self.shop.rows(
            "SELECT g.* FROM grants g JOIN subscribers s ON s.id = g.subscriber_id WHERE s.sub = $1", reader.sub
        )
        found: dict[str, Periods] = {name: [] for name in self.offer.features}
        for row in rows:
            if but in {row["id"], row["subscription_id"]} and but is not None:
                continue
            for name, periods in json.loads(row["features"]).items():
                found[name] += [(starts, until, reason) for starts, until, reason, *_ in periods]
        return found

    async def check_all(self, reader: Person, at: datetime) -> dict[str, CheckResult]:
        """Check by every method at a given time: all agree, and match the grants."""
        self.hands.moment = at
        granted = await self.periods(reader)
        answers = await self.asker.all_methods(reader)
        for name, results in answers.items():
            one = results["check"]
            assert not methods_that_differ(results), (at, name, results)
            now = int(at.timestamp())
            running = [period for period in granted[name] if period[0] <= now < period[1]]
            if name == "ad_free" and at < ANNOUNCED_DATE:
                assert (one.allowed, one.reason) == (False, "coming_soon"), at
                continue
            assert one.allowed == bool(running), (at, name, one, granted[name])
            if running:
                assert one.reason in {reason for *_, reason in running}, (at, name, one)
                assert one.until is not None
                assert one.until >= max(until for _, until, _ in running), (at, name, one)
        return {name: results["check"] for name, results in answers.items()}


@pytest.fixture
async def world(database: str, sandbox: Any, issuer: Any, tmp_path: Path) -> AsyncIterator[World]:
    path = write_two_plan_catalogue(tmp_path)
    offer = catalogue.load(path)
    engine = make_engine(database, pool_size=2)
    async with (
        manual_clock(FIRST_DAY) as hands,
        open_shop(database, sandbox, issuer, clock_url=hands.url, catalogue=path) as shop,
        open_checker(shop, offer.features) as asker,
    ):
        yield World(shop, hands, offer, make_sessions(engine), asker)
    await engine.dispose()


async def add_random_grants(world: World, reader: Person, rng: random.Random) -> list[GivenSubscription | str]:
    """Give a reader random grants. Return them; comps are created through the API."""
    held: list[GivenSubscription | str] = [
        await add_subscription(world.sessions, world.offer, reader.sub, rng) for _ in range(rng.randrange(3))
    ]
    for _ in range(rng.randrange(3)):
        world.hands.moment = FIRST_DAY + timedelta(days=rng.randrange(DAYS // 2))
        until = world.hands.moment + timedelta(days=rng.randrange(1, DAYS // 2))
        body = {"subscriber": reader.sub, "plan": rng.choice(("annual", "small")), "reason": "because"}
        made = await world.shop.post("/v1/support/comps", world.shop.agent, {**body, "until": until.isoformat()})
        assert made.status_code == 201, made.text
        held.append(str(made.json()["id"]))
    return held


def random_times(periods: Iterable[Periods], rng: random.Random, most: int) -> list[datetime]:
    """Return times to check: at the start and end of periods, just before them, and in between."""
    edges = {at for some in periods for start, until, _ in some for at in (start, until)}
    around = sorted({at - back for at in edges for back in (0, 1)} | {int(ANNOUNCED_DATE.timestamp()) - 1})
    within = [int((FIRST_DAY + timedelta(days=rng.randrange(DAYS))).timestamp()) for _ in range(2)]
    chosen = rng.sample(around, min(most, len(around))) + within
    return [datetime.fromtimestamp(at, UTC) for at in chosen]


async def check_random_reader(world: World, number: int, seed: int, most: int) -> None:
    """Give a reader random grants, check at several times, end one of the grants, and check again."""
    rng = random.Random(f"{seed}/{number}")
    reader = world.shop.person(f"reader-{seed}-{number}")
    held = await add_random_grants(world, reader, rng)
    await world.wait_until_known(reader)
    times = random_times((await world.periods(reader)).values(), rng, most)
    for at in times:
        await world.check_all(reader, at)
    if not held:
        return
    one = rng.choice(held)
    name = one.id if isinstance(one, GivenSubscription) else f"grt_{one}"
    others = await world.periods(reader, but=name)
    if isinstance(one, GivenSubscription):
        await end_subscription(world.sessions, world.offer, reader.sub, one, rng)
    else:
        path = f"/v1/support/comps/{one}"
        gone = await world.shop.http.delete(path, headers=dict(world.shop.agent.headers))
        assert gone.status_code == 200, gone.text
    await world.wait_until_known(reader)
    assert await world.periods(reader, but=name) == others
    for at in times[:3] + times[-1:]:
        results = await world.check_all(reader, at)
        for feature, periods in others.items():
            if any(start <= at.timestamp() < until for start, until, _ in periods):
                assert results[feature].allowed or results[feature].reason == "coming_soon", (
                    at,
                    feature,
                    results,
                    others,
                )


async def test_all_check_methods_agree_after_a_grant_ends(
    world: World,
) -> None:
    for number in range(8):
        await check_random_reader(world, number, 1, 3)


@pytest.mark.soak
async def test_all_check_methods_agree_for_any_grants(world: World) -> None:
    seed = secrets.randbits(32)
    for number in range(150):
        try:
            await check_random_reader(world, number, seed, 5)
        except AssertionError as failure:
            raise AssertionError(f"one_reader(world, {number}, {seed}, 5)") from failure


async def test_an_announced_feature_is_granted_on_its_date_without_a_deployment(
    world: World,
) -> None:
    rng = random.Random(3)
    ada, bob, cyd = (world.shop.person(name) for name in ("ada", "bob", "cyd"))
    for kind, reader in (("paid", ada), ("comp", bob)):
        if kind == "paid":
            await subscribe_before_announced_date(world, reader, rng)
        else:
            world.hands.moment = ANNOUNCED_DATE - timedelta(days=9)
            until = ANNOUNCED_DATE + timedelta(days=9)
            body = {"subscriber": reader.sub, "plan": "small", "reason": "because", "until": until.isoformat()}
            assert (await world.shop.post("/v1/support/comps", world.shop.agent, body)).status_code == 201
        await world.wait_until_known(reader)
    day = timedelta(days=1)
    for at, granted in ((ANNOUNCED_DATE - day, False), (ANNOUNCED_DATE - day / 86_400, False), (ANNOUNCED_DATE, True)):
        for reader, reason in ((ada, "paid_term"), (bob, "comp"), (cyd, "never_subscribed")):
            result = (await world.check_all(reader, at))["ad_free"]
            expected = (granted and reader is not cyd, reason if granted else "coming_soon")
            assert (result.allowed, result.reason) == expected, (at, reader.sub)
        shown = (await world.shop.http.get("/v1/plans/annual")).json()["features"]
        assert {f["name"]: f["status"] for f in shown}["ad_free"] == ("granted" if granted else "coming_soon")


async def subscribe_before_announced_date(world: World, reader: Person, rng: random.Random) -> None:
    """Subscribe a reader so that the announced date is within the paid term."""
    while True:
        subscription = await add_subscription(world.sessions, world.offer, reader.sub, rng, kind="active")
        day = int(ANNOUNCED_DATE.timestamp())
        periods = (await world.periods(reader))["ad_free"]
        if subscription and any(
            start < day - 86_400 and until > day and reason == "paid_term" for start, until, reason in periods
        ):
            return
