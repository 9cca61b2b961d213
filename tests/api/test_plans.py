"""The plans endpoints."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import httpx2
import pytest
from babel import Locale
from fastapi import FastAPI

from app.api import plans, problems
from app.clock import SystemClock
from app.domain.dunning import AccessPolicy
from app.domain.plans import Catalogue
from app.domain.rules import Rules
from app.localization import Localization
from app.services.catalogue import load
from tests.support.wording import american

OPENING = datetime(2027, 3, 1, tzinfo=UTC)
ANNUAL_PLAN = plans.PlanOut.example()  # the documented example, which is the plan of the catalogue


class SetClock(SystemClock):
    """A clock with a fixed time."""

    now = OPENING - timedelta(seconds=1)

    async def policy(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def shop() -> Catalogue:
    catalogue = load(Path(__file__).parents[2] / "catalogue.toml")
    annual = catalogue.plan("annual")
    ad_free = replace(annual.features["ad_free"], available_from=OPENING)
    return replace(catalogue, plans={"annual": replace(annual, features={**annual.features, "ad_free": ad_free})})


@pytest.fixture
async def site(shop: Catalogue, clock: SetClock) -> AsyncIterator[httpx2.AsyncClient]:
    app = FastAPI()
    app.include_router(plans.router)
    problems.install(app)
    zone = ZoneInfo("America/Chicago")
    access = AccessPolicy(
        renewal_allowance=timedelta(days=3), grace_period=timedelta(days=14), zone=zone, wording=american()
    )
    rules = Rules(catalogue=shop, access=access, zone=zone)
    app.state.api = SimpleNamespace(
        ctx=SimpleNamespace(
            catalogue=shop, clock=clock, rules=rules, localization=Localization(Locale("en", "US"), zone)
        )
    )
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://newsstand") as client:
        yield client


async def test_the_plan_is_shown_in_full(site: httpx2.AsyncClient) -> None:
    answer = await site.get("/v1/plans")
    assert answer.status_code == 200
    expected = json.loads(json.dumps(ANNUAL_PLAN))
    expected["features"][-1]["available_from"] = "2027-03-01T00:00:00Z"
    assert answer.json() == {"data": [expected], "next": None}
    assert len(expected["offer"]) == 9


@pytest.mark.parametrize(
    ("locale", "formatted"), [("de", "49 $"), ("en-GB", "US$49"), ("en_US", "$49"), ("fr-CA", "49 $ US"), ("ja", "$49")]
)
async def test_prices_are_written_for_the_locale_that_is_asked_for(
    site: httpx2.AsyncClient, locale: str, formatted: str
) -> None:
    answer = await site.get("/v1/plans/annual", params={"locale": locale})
    assert answer.status_code == 200, answer.text
    assert answer.json()["prices"][0]["price"] == {"amount": 49_00, "currency": "usd", "formatted": formatted}


@pytest.mark.parametrize("locale", ["xx", "en_US_x_y_z_w", "../etc", "e", "en;q=1", "", "a" * 40, "en\n"])
async def test_an_unknown_locale_is_refused(site: httpx2.AsyncClient, locale: str) -> None:
    answer = await site.get("/v1/plans", params={"locale": locale})
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")
    assert answer.json()["errors"][0]["field"] == "query.locale"


async def test_a_plan_is_found_by_its_code(site: httpx2.AsyncClient) -> None:
    listed = (await site.get("/v1/plans")).json()["data"]
    assert [(await site.get("/v1/plans/annual")).json()] == listed


async def test_an_announced_feature_is_granted_from_its_date(site: httpx2.AsyncClient, clock: SetClock) -> None:
    async def status() -> str:
        features = (await site.get("/v1/plans/annual")).json()["features"]
        return str({feature["name"]: feature["status"] for feature in features}["ad_free"])

    assert await status() == "coming_soon"
    clock.now = OPENING
    assert await status() == "granted"


@pytest.mark.parametrize("path", ["/v1/plans", "/v1/plans/annual"])
async def test_a_response_can_be_cached_until_the_plans_change(
    site: httpx2.AsyncClient, clock: SetClock, path: str
) -> None:
    first = await site.get(path)
    assert first.headers["Cache-Control"] == "public, max-age=60"
    tag = first.headers["ETag"]
    for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again = await site.get(path, headers={"If-None-Match": known})
        assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", tag)
    clock.now = OPENING
    changed = await site.get(path, headers={"If-None-Match": tag})
    assert changed.status_code == 200
    assert changed.headers["ETag"] != tag


@pytest.mark.parametrize("code", ["weekly", "%00", "x" * 3000])
async def test_an_unknown_plan_is_not_found(site: httpx2.AsyncClient, code: str) -> None:
    answer = await site.get(f"/v1/plans/{code}")
    assert answer.status_code == 404
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["code"] == "not_found"
    assert len(answer.content) < 600


async def test_the_openapi_document_has_examples_of_plans(site: httpx2.AsyncClient) -> None:
    described = (await site.get("/openapi.json")).json()
    (example,) = described["components"]["schemas"]["PlanOut"]["examples"]
    assert example["offer"] == ANNUAL_PLAN["offer"]  # the document leaves out null values
    assert set(described["paths"]["/v1/plans/{code}"]["get"]["responses"]) >= {"200", "304", "404"}
