"""A simulated year with random readers and network faults: records match, and paying readers have access."""

import os
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from random import Random
from typing import Any

import pytest

from tests.support.randomness import fixed_seeds, random_seed, seeded
from tests.support.shop import Shop, open_shop
from tests.support.simulated_year.kinds import KINDS
from tests.support.simulated_year.liability import check_liability
from tests.support.simulated_year.readers import SimulatedReader
from tests.support.simulated_year.simulation import Simulation, random_moments

READERS = int(os.environ.get("NEWSSTAND_TEST_READERS") or 300)


@pytest.fixture
async def killable_shop(database: str, sandbox: Any, issuer: Any) -> AsyncIterator[Shop]:
    """Provide a shop whose service runs in its own process, which a test can kill."""
    async with open_shop(
        database,
        sandbox,
        issuer,
        separate_process=True,
        lease=timedelta(seconds=1),
        stripe_timeout=timedelta(seconds=5),
    ) as opened:
        yield opened


async def simulate(shop: Shop, *, seed: int, readers: int, days: int, step: tuple[float, float], kill: float) -> None:
    """Run the simulation, and compare our records with Stripe's."""
    rng = seeded(seed)
    simulated = [
        SimulatedReader(
            shop=shop,
            person=shop.person(f"reader-{n}"),
            rng=Random(f"{seed}/{n}"),
            kind=KINDS[n % len(KINDS)],
            eagerness=rng.choice([0.01, 0.03, 0.1, 0.2, 0.4]),  # passive readers reach their renewal
        )
        for n in range(readers)
    ]
    simulation = Simulation(shop=shop, rng=rng, readers=simulated)
    await simulation.run(random_moments(rng, days=days, step=step), kill=kill)
    print(Counter(line for reader in simulated for line in reader.diary if not line.startswith(" ")))
    await simulation.check_records()
    await simulation.check_nothing_pending()
    await simulation.check_money()
    await check_liability(shop)


@pytest.mark.parametrize("seed", fixed_seeds(2))
async def test_a_short_simulated_year_of_a_few_readers(shop: Shop, seed: int) -> None:
    await simulate(shop, seed=seed, readers=8, days=400, step=(15, 60), kill=0.0)


@pytest.mark.soak
@pytest.mark.timeout(7200)
async def test_a_simulated_year_of_three_hundred_readers(killable_shop: Shop) -> None:
    await simulate(killable_shop, seed=random_seed(), readers=READERS, days=430, step=(2, 10), kill=0.1)
