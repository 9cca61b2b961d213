"""Many are done for at once, and the failure of one is not another's."""

import asyncio
from collections.abc import Sequence

from app.db.engine.batching import Batcher


async def test_whoever_comes_meanwhile_is_in_the_next_lot() -> None:
    lots: list[list[int]] = []

    async def do(lot: Sequence[int]) -> None:
        lots.append(list(lot))
        await asyncio.sleep(0.01)

    together = Batcher(do)
    await asyncio.gather(*(together.add(n) for n in range(10)))

    assert sorted(n for lot in lots for n in lot) == list(range(10))
    assert len(lots) <= 2


async def test_the_failure_of_one_is_not_anothers() -> None:
    async def do(lot: Sequence[int]) -> None:
        if 3 in lot:
            raise ValueError("not that one")

    together = Batcher(do)
    became = await asyncio.gather(*(together.add(n) for n in range(10)), return_exceptions=True)

    assert [n for n, one in enumerate(became) if isinstance(one, ValueError)] == [3]
