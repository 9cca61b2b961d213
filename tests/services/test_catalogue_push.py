"""A push brings Stripe's products and prices in line with the catalogue, even after interruptions."""

import asyncio
import os
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import SecretStr

from app.context import make_rules
from app.db import editions
from app.db.engine.session import make_engine, make_sessions
from app.domain.errors import StripeFault, StripeRefused, StripeUnavailable
from app.domain.money import Money
from app.domain.offers import OfferVersion, offers_of
from app.domain.plans import Catalogue
from app.domain.prices import LookupKeyTaken, NotTheConfirmedChanges, StripePrice, product_id
from app.gateway import prices as at_stripe
from app.gateway.client import Gateway
from app.services import catalogue_push
from app.services.catalogue import load
from app.settings import Settings
from tests.support.commands import run_command, terminal
from tests.support.sandbox import Sandbox

FILE = Path(__file__).parents[2] / "catalogue.toml"
CATALOGUE = load(FILE)
DIGITAL, PRINT = "newsstand_annual_digital", "newsstand_annual_print"


def priced(amount: int) -> Catalogue:
    """Return the catalogue with another price of the digital edition."""
    annual = CATALOGUE.plan("annual")
    digital = replace(annual.prices["digital"], price=Money(amount, "usd"))
    return replace(CATALOGUE, plans={"annual": replace(annual, prices={**annual.prices, "digital": digital})})


async def push(gateway: Gateway, catalogue: Catalogue = CATALOGUE) -> list[str]:
    """Push the catalogue, and return the reported changes."""
    return [str(change) async for change in catalogue_push.push(gateway, catalogue)]


async def versions(
    gateway: Gateway, product: str = DIGITAL
) -> Mapping[int | None, tuple[int | None, bool, str | None]]:
    """Return the amount, the active flag and the lookup key of each version of a product's price."""
    found: list[StripePrice] = await at_stripe.of_product(gateway, product)
    assert len({price.version for price in found}) == len(found)
    return {price.version: (price.amount, price.active, price.lookup_key) for price in found}


async def test_the_first_push_creates_two_products_with_prices_and_tax_codes(gateway: Gateway) -> None:
    assert await push(gateway) == [
        "product newsstand_annual_digital: create 'Digital Edition' with tax code txcd_10303002",
        "product newsstand_annual_print: create 'Print Edition' with tax code txcd_35020200",
        "newsstand_annual_digital: create 49.00 usd as version 1",
        "newsstand_annual_print: create 24.00 usd as version 1",
    ]
    for price in CATALOGUE.plan("annual").prices.values():
        product = await at_stripe.product(gateway, product_id("annual", price.component))
        assert product is not None
        assert (product.name, product.tax_code, product.component) == (price.title, price.tax_code, price.component)
    assert await versions(gateway) == {1: (4900, True, DIGITAL)}
    assert await versions(gateway, PRINT) == {1: (2400, True, PRINT)}


async def test_a_second_push_changes_nothing(gateway: Gateway, sandbox: Sandbox, key: str) -> None:
    await push(gateway)
    posted = sandbox.requests(key, "POST")
    assert len(posted) == 4
    assert await push(gateway) == []
    assert sandbox.requests(key, "POST") == posted


async def test_another_amount_creates_a_new_version_for_new_subscribers(gateway: Gateway) -> None:
    await push(gateway)
    assert await push(gateway, priced(5200)) == [
        f"{DIGITAL}: change 49.00 usd to 52.00 usd as version 2; current subscribers keep version 1",
        f"{DIGITAL}: archive version 1 (49.00 usd)",
    ]
    assert await versions(gateway) == {1: (4900, False, None), 2: (5200, True, DIGITAL)}


async def test_a_price_can_be_raised_and_lowered_repeatedly(gateway: Gateway) -> None:
    for amount in (4900, 5200, 4900, 5200):
        await push(gateway, priced(amount))
    assert await versions(gateway) == {
        1: (4900, False, None),
        2: (5200, False, None),
        3: (4900, False, None),
        4: (5200, True, DIGITAL),
    }


async def test_a_manually_archived_price_is_created_again(gateway: Gateway) -> None:
    await push(gateway)
    (bought,) = (await at_stripe.purchasable(gateway, [DIGITAL])).values()
    await at_stripe.archive_price(gateway, bought.id)
    assert await push(gateway) == [f"{DIGITAL}: create 49.00 usd again as version 2"]
    assert await versions(gateway) == {1: (4900, False, None), 2: (4900, True, DIGITAL)}


async def test_a_lost_response_creates_no_second_price(gateway: Gateway, sandbox: Sandbox, key: str) -> None:
    sandbox.fault(key, method="POST", path="/v1/prices", when="after", action="drop", times=1)
    assert len(await push(gateway)) == 4
    assert await versions(gateway) == {1: (4900, True, DIGITAL)}
    assert sandbox.requests(key, "POST", "/v1/prices") == ["POST /v1/prices"] * 2


async def test_the_next_push_completes_one_interrupted_by_an_outage(
    gateway: Gateway, sandbox: Sandbox, key: str
) -> None:
    sandbox.fault(
        key, method="POST", path="/v1/prices", when="after", action="drop", times=3
    )  # the SDK tries three times
    with pytest.raises(StripeUnavailable):
        await push(gateway)
    assert await push(gateway) == [f"{PRINT}: create 24.00 usd as version 1"]
    assert await versions(gateway) == {1: (4900, True, DIGITAL)}


@pytest.mark.parametrize("killed_after", range(7))
async def test_the_next_push_completes_one_killed_at_any_point(gateway: Gateway, killed_after: int) -> None:
    for catalogue in (CATALOGUE, priced(5200)):
        pushing = catalogue_push.push(gateway, catalogue)
        for _ in range(killed_after):
            if await anext(pushing, None) is None:
                break
        await pushing.aclose()  # type: ignore[attr-defined]
    await push(gateway, priced(5200))
    assert await catalogue_push.differences(gateway, priced(5200)) == []
    assert [state for state in (await versions(gateway)).values() if state[1]] == [(5200, True, DIGITAL)]


async def test_an_error_that_stripe_repeats_for_a_key_is_overcome(gateway: Gateway, sandbox: Sandbox, key: str) -> None:
    sandbox.fault(key, method="POST", path="/v1/prices", when="before", action="status", status=500, times=1)
    assert len(await push(gateway)) == 4
    assert await versions(gateway) == {1: (4900, True, DIGITAL)}


async def test_a_refusal_that_stripe_repeats_for_a_key_is_overcome(
    gateway: Gateway, sandbox: Sandbox, key: str
) -> None:
    body = {"error": {"type": "invalid_request_error", "message": "Not now."}}
    sandbox.fault(key, method="POST", path="/v1/prices", when="before", action="status", status=400, times=2, body=body)
    with pytest.raises(StripeRefused):
        await push(gateway)
    assert len(await push(gateway)) == 2
    assert await versions(gateway) == {1: (4900, True, DIGITAL)}


async def test_persistent_errors_are_reported(gateway: Gateway, sandbox: Sandbox, key: str) -> None:
    sandbox.fault(key, method="POST", path="/v1/prices", when="before", action="status", status=500, times=None)
    with pytest.raises(StripeFault):
        await push(gateway)


async def test_two_concurrent_pushes_create_each_price_once(gateway: Gateway, sandbox: Sandbox, key: str) -> None:
    other = Gateway(url=sandbox.url, api_key=key)
    try:
        await asyncio.gather(push(gateway), push(other))
    finally:
        await other.close()
    assert await versions(gateway) == {1: (4900, True, DIGITAL)}
    assert await versions(gateway, PRINT) == {1: (2400, True, PRINT)}


async def test_a_lookup_key_of_another_product_is_not_moved(gateway: Gateway, sandbox: Sandbox, key: str) -> None:
    tote = await gateway.sdk.v1.products.create_async({"name": "Tote bag"})
    theirs = await gateway.sdk.v1.prices.create_async(
        {"product": tote.id, "currency": "usd", "unit_amount": 900, "lookup_key": PRINT}
    )
    with pytest.raises(LookupKeyTaken, match=theirs.id):
        await push(gateway)
    assert sandbox.requests(key, "POST") == ["POST /v1/products", "POST /v1/prices"]  # the other product's own requests


Newsstand = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def newsstand(sandbox: Sandbox, key: str, tmp_path: Path) -> Newsstand:
    """Return a function that runs the command."""

    def run(
        command: str, file: Path = FILE, *, stdin: Path = Path(os.devnull), **settings: str
    ) -> subprocess.CompletedProcess[str]:
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("NEWSSTAND_")},
            "NEWSSTAND_STRIPE_URL": sandbox.url,
            "NEWSSTAND_STRIPE_API_KEY": key,
            "NEWSSTAND_CATALOGUE": str(file),
            "NEWSSTAND_DATA_DIR": str(tmp_path),
            **settings,
        }
        return run_command(["catalogue", *command.split()], environment, stdin=stdin)

    return run


def test_the_diff_and_push_commands_report_changes(newsstand: Newsstand) -> None:
    differs = newsstand("diff")
    assert differs.returncode == 2
    assert len(differs.stdout.splitlines()) == 4
    first = newsstand("push --yes")
    assert (first.returncode, first.stdout) == (0, f"{differs.stdout}4 changes were made.\n")
    second = newsstand("push")
    assert (second.returncode, second.stdout) == (0, "Nothing to do: Stripe matches the catalogue.\n")
    same = newsstand("diff")
    assert (same.returncode, same.stdout) == (0, "Stripe matches the catalogue.\n")
    assert first.stderr == second.stderr == differs.stderr == same.stderr == ""


@pytest.mark.parametrize(
    ("typed", "status", "made"),
    [
        pytest.param("y\n", 0, True, id="yes"),
        pytest.param("n\n", 2, False, id="no"),
        pytest.param("\n", 2, False, id="Enter alone"),
        pytest.param("\x04", 2, False, id="end of the input"),
    ],
)
def test_a_push_at_a_terminal_shows_the_changes_and_asks(
    newsstand: Newsstand, sandbox: Sandbox, key: str, typed: str, status: int, made: bool
) -> None:
    with terminal(typed) as stdin:
        asked = newsstand("push", stdin=stdin)
    assert asked.returncode == status, asked.stderr
    assert "newsstand_annual_digital: create 49.00 usd as version 1\n" in asked.stdout
    assert f"Make these 4 changes in test mode at {sandbox.url}? [y/N]: " in asked.stdout
    assert ("4 changes were made." in asked.stdout, "Nothing was changed." in asked.stderr) == (made, not made)
    assert len(sandbox.requests(key, "POST")) == (4 if made else 0)


def test_a_push_without_a_terminal_needs_yes(newsstand: Newsstand, sandbox: Sandbox, key: str) -> None:
    refused = newsstand("push")
    assert refused.returncode == 2
    assert len(refused.stdout.splitlines()) == 4
    assert refused.stderr == "Nothing was changed: add --yes to confirm, because the input is not a terminal.\n"
    assert sandbox.requests(key, "POST") == []


async def test_a_push_makes_only_the_changes_that_were_confirmed(gateway: Gateway, sandbox: Sandbox, key: str) -> None:
    confirmed = await catalogue_push.differences(gateway, CATALOGUE)
    await push(gateway, priced(5200))
    posted = sandbox.requests(key, "POST")
    with pytest.raises(NotTheConfirmedChanges):
        _ = [change async for change in catalogue_push.push(gateway, CATALOGUE, confirmed=confirmed)]
    assert sandbox.requests(key, "POST") == posted
    confirmed = await catalogue_push.differences(gateway, CATALOGUE)
    assert [change async for change in catalogue_push.push(gateway, CATALOGUE, confirmed=confirmed)] == confirmed


def test_a_push_shows_what_changes_for_subscribers(newsstand: Newsstand, database: str, tmp_path: Path) -> None:
    loaded = Settings(database_url=SecretStr(database))

    async def record() -> None:
        engine = make_engine(database, pool_size=1)
        try:
            async with make_sessions(engine).begin() as session:
                await editions.add_offers(
                    session,
                    [
                        OfferVersion(offer, datetime(2026, 3, 1, tzinfo=UTC))
                        for offer in offers_of(CATALOGUE, make_rules(loaded, CATALOGUE).access).values()
                    ],
                )
                await editions.publish(session)
        finally:
            await engine.dispose()

    asyncio.run(record())
    changed = tmp_path / "changed.toml"
    changed.write_text(FILE.read_text().replace('"audio", ', ""))
    shown = newsstand(f"diff --file {changed}", NEWSSTAND_DATABASE_URL=database, NEWSSTAND_GRACE_PERIOD="P21D")
    assert shown.stdout.splitlines()[4:] == [
        "For current subscribers, when the service is restarted with this file:",
        "  annual: remove the feature audio, from each subscriber's next term",
        "  annual: change the grace period from 14 days to 21 days, at once",
    ]
    unreachable = newsstand("push --yes", NEWSSTAND_DATABASE_URL="postgresql://postgres@127.0.0.1:9/postgres")
    assert unreachable.returncode == 0
    assert unreachable.stderr.startswith("What changes for subscribers is unknown. The database is unreachable: ")


def test_a_valid_catalogue_is_summarized(newsstand: Newsstand) -> None:
    checked = newsstand("check", NEWSSTAND_STRIPE_URL="http://127.0.0.1:9")
    assert checked.returncode == 0
    assert "Digital Edition: 49.00 usd (newsstand_annual_digital)" in checked.stdout
    assert checked.stdout.endswith("The catalogue is valid.\n")


@pytest.mark.parametrize("command", ["check", "push"])
def test_an_invalid_catalogue_is_rejected_with_all_its_problems(
    newsstand: Newsstand, tmp_path: Path, command: str
) -> None:
    wrong = tmp_path / "wrong.toml"
    wrong.write_text(FILE.read_text().replace("amount = 4900", "amount = 0").replace("issues = 24", "issues = 0"))
    refused = newsstand(f"{command} --file {wrong}")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert [line.split(":")[0] for line in refused.stderr.splitlines()] == [
        "plans.annual.issues",
        "plans.annual.prices.digital.amount",
    ]


def test_invalid_settings_are_rejected_by_name(newsstand: Newsstand) -> None:
    refused = newsstand("push", NEWSSTAND_STRIPE_API_KEY="hunter2")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.startswith("NEWSSTAND_STRIPE_API_KEY: ")
    assert "hunter2" not in refused.stderr


def test_an_error_of_stripe_is_reported(newsstand: Newsstand, tmp_path: Path) -> None:
    unknown = tmp_path / "unknown.toml"
    unknown.write_text(FILE.read_text().replace("txcd_35020200", "txcd_00000001"))
    refused = newsstand(f"push --yes --file {unknown}")
    assert refused.returncode == 1
    assert refused.stderr.splitlines() == [
        "Stripe declined the request: No such tax code: 'txcd_00000001'",
        "1 change was made before the error. Push again; nothing is done twice.",
    ]


def test_an_unreachable_stripe_is_reported(newsstand: Newsstand) -> None:
    failed = newsstand("push", NEWSSTAND_STRIPE_URL="http://127.0.0.1:9")
    assert (failed.returncode, failed.stdout) == (1, "")
    assert failed.stderr.startswith("Could not reach Stripe at http://127.0.0.1:9: ")
    assert "Traceback" not in failed.stderr


def test_the_help_has_examples(newsstand: Newsstand) -> None:
    taught = newsstand("--help").stdout
    for command in ("check", "diff", "push"):
        assert f"newsstand catalogue {command}" in taught
    assert "2 if they differ" in newsstand("diff --help").stdout
