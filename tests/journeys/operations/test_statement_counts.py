"""How many statements the busiest paths send to the database. Each is a round trip."""

import secrets
from typing import Any

from bench import query_recorder
from tests.support.shop import Shop

# Including a token of the rate limit for each of the two calls to Stripe, and the note that the job of the key has begun,
# without which a connection that is cut would use up an attempt of every claimed key.
APPLY, QUOTE = 20, 19


def pool_of(shop: Shop) -> Any:
    assert shop.app is not None
    return shop.app.state.api.ctx.pool


def own(sent: query_recorder.Statements) -> list[str]:
    """Return the statements in a line each, without what a driver asks a new connection."""
    lines = [" ".join(statement.split()) for statement, _ in sent]
    return [line[:100] for line in lines if "typeinfo_tree" not in line and "'jit'" not in line]


async def test_uncached_check_sends_one_statement(shop: Shop) -> None:
    ada, pool = shop.person(), pool_of(shop)
    await shop.check(ada)  # the caller's key is cached from now on
    body = {"subscriber": f"stranger-{secrets.token_hex(4)}", "feature": "archive"}

    async with query_recorder.record_statements(pool) as sent:
        await shop.http.post(
            "/v1/entitlements/check", json=body, headers={"Authorization": f"Bearer {shop.server_key}"}
        )

    asked = [line for line in own(sent) if "FROM entitlements" in line]
    assert len(asked) == 1, own(sent)


async def test_arriving_event_is_stored_by_one_statement(shop: Shop) -> None:
    pool = pool_of(shop)
    await shop.subscribe(shop.person())
    await shop.wait_until_idle()

    async with query_recorder.record_statements(pool) as sent:
        (event,) = await shop.rows("SELECT id FROM events WHERE type = 'customer.subscription.created'")
        await shop.stripe_post(f"/_sandbox/events/{event['id']}/deliver")
        await shop.wait_until_idle()

    stored = [line for line in own(sent) if "INTO events" in line]
    assert len(stored) == 1, own(sent)


async def test_event_that_changes_nothing_is_applied_by_a_fixed_number_of_statements(shop: Shop) -> None:
    ada, pool = shop.person(), pool_of(shop)
    await shop.subscribe(ada)
    await shop.wait_until_idle()
    (held,) = (await shop.overview(ada))["subscriptions"]
    admin = shop.person("operator", roles=("admin",))
    (event,) = await shop.rows("SELECT id FROM events WHERE type = 'customer.subscription.created'")

    async with query_recorder.record_statements(pool, request_id=f"/subscription:{held['stripe_id']}") as sent:
        await shop.post(f"/v1/support/events/{event['id']}/replay", admin)
        await shop.wait_until_idle()

    assert 0 < len(own(sent)) <= APPLY, "\n".join(own(sent))


async def test_quote_is_read_with_a_fixed_number_of_statements(shop: Shop) -> None:
    ada, pool = shop.person(), pool_of(shop)
    await shop.subscribe(ada)
    (payment,) = await shop.rows("SELECT id FROM payments")

    async with query_recorder.record_statements(pool, request_id="counted") as sent:
        answer = await shop.http.get(
            f"/v1/support/payments/{payment['id']}/refund-quote",
            headers={**shop.agent.headers, "X-Request-Id": "counted"},
        )

    assert answer.status_code == 200, answer.text
    assert 0 < len(own(sent)) <= QUOTE, "\n".join(own(sent))
