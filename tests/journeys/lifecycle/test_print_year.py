"""A simulated year of print: every copy that was owed was sent once, and the books reconcile to the cent each month."""

import os
from datetime import date, timedelta
from random import Random

import pytest

from tests.support.print_year.ledger import PlannedIssue
from tests.support.print_year.readers import PrintReader
from tests.support.print_year.simulation import DOUBLE, PrintYear
from tests.support.randomness import fixed_seeds, random_seed, seeded
from tests.support.shop import Shop

READERS = int(os.environ.get("NEWSSTAND_TEST_READERS") or 1000)
DAY = timedelta(days=1)


async def simulate(shop: Shop, *, seed: int, readers: int, cycles: int, joining: int, activity: float) -> PrintYear:
    """Run the simulation."""
    rng = seeded(seed)
    await shop.plan_issues(70, but=f"UPDATE issues SET counts_as = 2 WHERE number = {DOUBLE}")
    calendar = [
        PlannedIssue(number, date(2026, 1, 1) + 15 * number * DAY, date(2026, 1, 1) + (15 * number - 9) * DAY)
        for number in range(1, 71)
    ]
    calendar[DOUBLE - 1].counts = 2
    simulated = []
    for n in range(readers):
        own = Random(f"{seed}/{n}")
        late = date(2027, 3, 1) + own.randint(5, 90) * DAY
        simulated.append(
            PrintReader(
                shop=shop,
                sub=f"reader-{n:04d}",
                rng=own,
                calendar=calendar,
                fails=own.random() < 0.2,
                pays_late_on=late if own.random() < 0.7 else None,
            )
        )
    year = PrintYear(shop=shop, rng=rng, readers=simulated, calendar=calendar, activity=activity)
    await year.run(cycles=cycles, joining=joining)
    return year


@pytest.mark.parametrize("seed", fixed_seeds(2))
async def test_a_year_of_print_with_a_few_readers(shop: Shop, seed: int) -> None:
    await simulate(shop, seed=seed, readers=8, cycles=28, joining=3, activity=0.12)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", fixed_seeds(1))
async def test_a_year_of_print_with_a_hundred_readers(shop: Shop, seed: int) -> None:
    await simulate(shop, seed=seed, readers=100, cycles=31, joining=6, activity=0.05)


@pytest.mark.soak
@pytest.mark.timeout(7200)
async def test_a_year_of_print_with_a_thousand_readers(shop: Shop) -> None:
    await simulate(shop, seed=random_seed(), readers=READERS, cycles=31, joining=6, activity=0.03)
