"""Label runs in a shop: freezing them, and reading their files."""

import csv
import io
from typing import Any

import httpx2

from tests.support.shop import Person, Shop

HOME = {
    "name": "Ada Invented",
    "line1": "1 Lantern Street",
    "city": "Springfield",
    "region": "IL",
    "postal_code": "62701",
    "country": "US",
}
NEW_HOME = {**HOME, "line1": "9 Harbor Road", "city": "Portland", "region": "ME", "postal_code": "04101"}
CABIN = {**HOME, "line1": "3 Lake Path", "city": "Duluth", "region": "MN", "postal_code": "55801"}


def circulation(shop: Shop) -> Person:
    """Return a member of the circulation staff."""
    return shop.person("circulation", roles=("circulation",))


async def preview(shop: Shop, issue: int, *, supplement: bool = False) -> dict[str, Any]:
    """Return what would be frozen."""
    answer = await shop.post(_path(issue, supplement=supplement), circulation(shop), {"dry_run": True})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def try_to_freeze(shop: Shop, issue: int, *, supplement: bool = False, key: str = "") -> httpx2.Response:
    """Freeze a run, if it is possible."""
    headers = {"Idempotency-Key": key or f"freeze-{issue}-{supplement}"}
    return await shop.post(_path(issue, supplement=supplement), circulation(shop), {}, **headers)


async def freeze(shop: Shop, issue: int, *, supplement: bool = False, key: str = "") -> dict[str, Any]:
    """Freeze a run, and wait until what follows from it is done."""
    answer = await try_to_freeze(shop, issue, supplement=supplement, key=key)
    assert answer.status_code == 201, answer.text
    await shop.wait_until_idle()
    return dict(answer.json())


async def download(shop: Shop, issue: int, *, supplement: int = 0) -> bytes:
    """Return the file of a run."""
    answer = await shop.get(f"/v1/issues/{issue}/label-run.csv", circulation(shop), supplement=str(supplement))
    assert answer.status_code == 200, answer.text
    return answer.content


async def labels(shop: Shop, issue: int, *, supplement: int = 0) -> list[dict[str, str]]:
    """Return the labels of a run."""
    return list(csv.DictReader(io.StringIO((await download(shop, issue, supplement=supplement)).decode())))


async def move(shop: Shop, by: Person, address: dict[str, str], **more: str) -> dict[str, Any]:
    """Save a reader's new address."""
    answer = await shop.http.put("/v1/me/address", headers=dict(by.headers), json={**address, **more})
    assert answer.status_code == 200, answer.text
    await shop.wait_until_idle()
    return dict(answer.json())


def _path(issue: int, *, supplement: bool) -> str:
    return f"/v1/issues/{issue}/label-run" + ("/supplements" if supplement else "")
