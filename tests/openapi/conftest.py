"""Provide one shop for all tests of this folder, with signed-in callers and a subscriber."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import anyio.from_thread
import pytest
import requests

from tests.support.busy_machine import RepeatingAdapter
from tests.support.database import Postgres
from tests.support.shop import Shop, open_shop


@dataclass(frozen=True)
class RunningService:
    """A service in its own thread, so that synchronous tests can call it."""

    url: str
    session: requests.Session
    headers_of: Callable[[str], Mapping[str, str]]  # by caller; the service refuses old tokens
    known: Mapping[str, str]  # IDs of existing objects, by path parameter
    fitting: Mapping[str, Mapping[str, object]]  # values that pass the rules, by operation
    webhook_secret: str


@pytest.fixture(scope="session")
def service(postgres: Postgres, sandbox: Any, issuer: Any) -> Iterator[RunningService]:
    """Provide a running service with existing objects."""
    with anyio.from_thread.start_blocking_portal() as portal:
        dsn = portal.call(postgres.create)
        with (
            portal.wrap_async_context_manager(open_shop(dsn, sandbox, issuer)) as shop,
            requests.Session() as session,
        ):
            session.mount("http://", RepeatingAdapter())
            yield portal.call(_furnish, shop, session)
        portal.call(postgres.drop, dsn)


async def _furnish(shop: Shop, session: requests.Session) -> RunningService:
    reader = shop.person("ada")
    bought = await shop.subscribe(reader)
    seen = await shop.overview(reader)
    payment = seen["payments"][0]
    comp = {"subscriber": reader.sub, "plan": "annual", "until": "2026-04-01T00:00:00Z", "reason": "a copy lost"}
    created_comp = await shop.post("/v1/support/comps", shop.agent, comp)
    above_the_limit = {**comp, "until": "2029-01-01T00:00:00Z"}
    requested_comp = await shop.post("/v1/support/comps", shop.agent, above_the_limit)
    assert (created_comp.status_code, requested_comp.status_code) == (201, 202), requested_comp.text
    kindness = await shop.post(
        "/v1/support/refunds",
        shop.agent,
        {
            "payment": payment["id"],
            "basis": "goodwill",
            "amount": {"amount": 1_00, "currency": "usd"},
            "expected_amount": {"amount": 1_00, "currency": "usd"},
            "reason": "other",
            "note": "a torn copy",
        },
        **{"Idempotency-Key": "kindness"},
    )
    assert kindness.status_code == 201, kindness.text
    chief = shop.person("chief", roles=("admin",))
    created_key = await shop.post("/v1/api-keys", chief, {"name": "the edge", "scopes": ["issues:read"]})
    assert created_key.status_code == 201, created_key.text
    hook = {"name": "the site", "url": "https://hooks.example.com/newsstand"}
    endpoint = (await shop.post("/v1/webhook-endpoints", chief, hook)).json()["endpoint"]["id"]
    await shop.post(f"/v1/webhook-endpoints/{endpoint}/disable", chief)  # it doesn't exist
    scopes = ["entitlements:read", "bounces:write"]
    sites_key = await shop.post("/v1/api-keys", chief, {"name": "the site", "scopes": scopes})
    assert sites_key.status_code == 201, sites_key.text
    back = "http://127.0.0.1:8080/"

    def headers_of(caller: str) -> Mapping[str, str]:
        if caller == "server":
            return {"Authorization": f"Bearer {sites_key.json()['key']}"}
        known = {"reader": "ada", "agent": "chief"}  # the chief has every staff role
        return shop.person(known[caller]).headers if caller in known else {}

    return RunningService(
        url=shop.url,
        session=session,
        headers_of=headers_of,
        known={
            "code": "annual",
            "session_id": bought,
            "sub": reader.sub,
            "subscriber_id": seen["id"],
            "comp_id": created_comp.json()["id"],
            "request_id": requested_comp.json()["id"],
            "payment_id": payment["id"],
            "notification_id": "ntf_1",
            "refund_id": kindness.json()["id"],
            "endpoint_id": endpoint,
            "key_id": created_key.json()["id"],
            "object_id": kindness.json()["id"],
            "item": await _queue_something(shop),
            "address_id": "adr_1",  # no reader has a temporary address
            "migration_id": await _migrate_prices(shop),
            "claim_id": "clm_1",  # no copy was sent
            "hold_id": "hld_1",
            "erasure_id": await _erase_somebody(shop),
            "event_id": (await shop.rows("SELECT id FROM events WHERE state = 'applied' LIMIT 1"))[0]["id"],
            "subscription_id": seen["subscriptions"][0]["id"],
            "number": "1",
        },
        fitting={
            "start_checkout": {"plan": "annual", "success_url": back, "cancel_url": back},
            "issue_refund": {"payment": payment["id"], "expected_amount": payment["amount"]},
            "report_email_bounce": {"message_id": await _notify_somebody(shop)},
            "issue_my_refund": {"expected_amount": payment["amount"]},
            "create_webhook_endpoint": hook,
            "replay_webhooks": {"since": "2026-03-01T00:00:00Z"},
            "give_comp": {"subscriber": reader.sub, "plan": "annual", "until": "2030-01-01T00:00:00Z", "reason": "why"},
            "check_entitlements": {"subscribers": [reader.sub], "feature": "archive"},
            "check_entitlement": {"subscriber": reader.sub, "feature": "archive"},
        },
        webhook_secret=shop.settings.webhook_secrets[0].get_secret_value(),
    )


async def _migrate_prices(shop: Shop) -> str:
    """Store a finished price migration with a subscription that keeps its price, and return its ID."""
    await shop.execute(
        "INSERT INTO price_migrations (id, plan, currency, targets, versions, from_at, status, publisher_sends_notices,"
        " requested_by, created_at, work_key) VALUES ('pmg_1', 'annual', 'usd',"
        """ '[{"component": "digital", "price_id": "price_1", "amount": 5900}]', '{}', now(), 'finished', true,"""
        " 'operator:ops', now(), 'price_migration:pmg_1')"
    )
    await shop.execute(
        "INSERT INTO price_changes (id, migration_id, stripe_id, status, reason, currency, items, work_key)"
        " VALUES ('pcg_1', 'pmg_1', 'sub_1', 'left_out', 'not_ours', 'usd', '[]', 'price:sub_1')"
    )
    return "pmg_1"


async def _queue_something(shop: Shop) -> str:
    """Let an event fail permanently, and return the ID of its item in the work queue."""
    await shop.execute(
        "INSERT INTO events (id, type, state, payload, work_key)"
        " VALUES ('evt_queued', 'invoice.paid', 'dead', '{}', 'subscription:sub_queued')"
    )
    (item,) = (await shop.get("/v1/support/queue", shop.person("chief", roles=("admin",)), kind="event")).json()["data"]
    return str(item["id"])


async def _notify_somebody(shop: Shop) -> str:
    """Add a message that was sent, and return its ID."""
    await shop.execute(
        "INSERT INTO notifications (id, kind, about, subscriber_id, data, send_at, status, channel, settled_at, work_key)"
        " VALUES ('ntf_1', 'issue_delayed', 'scr_1', 'rdr_1', '{}', now(), 'sent', 'email', now(), 'notification:ntf_1')"
    )
    return "ntf_1"


async def _erase_somebody(shop: Shop) -> str:
    """Erase another reader, and return the ID of the erasure."""
    comp = {"subscriber": "eve", "plan": "annual", "until": "2026-04-01T00:00:00Z", "reason": "a copy lost"}
    await shop.post("/v1/support/comps", shop.agent, comp)
    (eve,) = await shop.rows("SELECT id FROM subscribers WHERE sub = 'eve'")
    ordered = await shop.post(
        f"/v1/support/subscribers/{eve['id']}/erase",
        shop.person("officer", roles=("privacy",)),
        {"without_refund": True},
    )
    assert ordered.status_code == 202, ordered.text
    return str(ordered.json()["id"])
