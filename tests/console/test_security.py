"""Forged forms, made-up IDs, HTML in text, and pages of erased readers."""

import pytest

from demo.browser import Page
from tests.console.conftest import ConsoleBrowser, OpenConsole
from tests.support.lost_data import lose_readers
from tests.support.shop import Shop
from tests.support.words import words_in

SCRIPT = "<script>alert(1)</script>"


async def reader_of(shop: Shop, name: str) -> str:
    return str((await shop.rows("SELECT id FROM subscribers WHERE sub = $1", name))[0]["id"])


async def payment_of(shop: Shop, name: str) -> str:
    rows = await shop.rows(
        "SELECT p.id FROM payments p JOIN subscriptions s ON s.id = p.subscription_id"
        " JOIN subscribers r ON r.id = s.subscriber_id WHERE r.sub = $1",
        name,
    )
    return str(rows[0]["id"])


async def subscription_of(shop: Shop, name: str) -> str:
    rows = await shop.rows(
        "SELECT s.id FROM subscriptions s JOIN subscribers r ON r.id = s.subscriber_id WHERE r.sub = $1", name
    )
    return str(rows[0]["id"])


async def refunds_at_stripe(shop: Shop) -> int:
    return len((await shop.stripe_get("/v1/refunds"))["data"])


async def review(robin: ConsoleBrowser, payment: str, **fields: str) -> Page:
    return await robin.submit(await robin.open(f"/payments/{payment}/refund"), "/refund/confirm", **fields)


async def post(robin: ConsoleBrowser, path: str, form: dict[str, str]) -> Page:
    """Post a form to another path, as a person does who edits the page."""
    return await robin.post(path, form, origin=robin.shop.url)


async def test_form_of_another_readers_page_is_refused_and_recorded(shop: Shop, open_console: OpenConsole) -> None:
    robin, sam = await open_console("agent@example.com"), await open_console("supervisor@example.com")
    for name in ("ada", "bob"):
        await shop.subscribe(shop.person(name))
    bob = await reader_of(shop, "bob")
    payment, held = await payment_of(shop, "bob"), await subscription_of(shop, "bob")
    chosen = await robin.open(f"/payments/{await payment_of(shop, 'ada')}/refund")
    confirmation = await review(robin, await payment_of(shop, "ada"))
    cancel = await robin.open(f"/subscriptions/{await subscription_of(shop, 'ada')}/cancel")
    extend = await robin.open(f"/subscriptions/{await subscription_of(shop, 'ada')}/extend")
    tried = 0
    for form, path in [
        (chosen.form("/refund/confirm"), f"/payments/{payment}/refund/confirm"),
        (confirmation.form("/refund"), f"/payments/{payment}/refund"),
        (cancel.form("/cancel"), f"/subscriptions/{held}/cancel"),
        (cancel.form("/cancel"), f"/subscriptions/{held}/resume"),
        (extend.form("/extend"), f"/subscriptions/{held}/extend"),
    ]:
        page = await post(robin, path, {**form.values(), "reason": "requested_by_reader"})
        assert page.status == 403, path
        assert "belongs to another reader's page, so nothing was changed" in page.text, path
        assert words_in(page.text, "bob") == []
        tried += 1
    asked = await robin.submit(await review(robin, payment, basis="goodwill", much="45", reason="hardship"), "/refund")
    own = (await sam.open(f"/readers/{bob}")).form("/sign-out").values()
    for what in ("approve", "reject"):
        page = await post(sam, f"/refunds/{asked.url.rpartition('/')[2]}/{what}", {**own, "reader": "rdr_another"})
        assert page.status == 403, what
        tried += 1
    written = await shop.rows("SELECT subscriber_id FROM audit_log WHERE action = 'console.form_refused'")
    assert [row["subscriber_id"] for row in written] == [bob] * tried
    assert await refunds_at_stripe(shop) == 0
    assert [row["status"] for row in await shop.rows("SELECT status FROM refunds")] == ["awaiting_approval"]
    assert await shop.rows("SELECT FROM subscriptions WHERE cancel_at IS NOT NULL") == []


async def test_comp_is_not_revoked_from_another_readers_page(shop: Shop, open_console: OpenConsole) -> None:
    robin = await open_console("agent@example.com")
    for name in ("ada", "bob"):
        await shop.open_checkout(shop.person(name))
    ada, bob = await reader_of(shop, "ada"), await reader_of(shop, "bob")
    form = await robin.open(f"/readers/{ada}/comp")
    page = await robin.submit(form, "/comp", ends="day", day="2026-05-31")
    own = page.form("/take-back").values()
    comp = (await shop.rows("SELECT id FROM comps"))[0]["id"]
    wrong = await post(robin, f"/comps/{comp}/take-back", {**own, "reader": bob, "note": "Not theirs."})
    assert wrong.status == 403
    assert await shop.may_read(shop.person("ada"))
    assert (await post(robin, "/comps/cmp_made_up/take-back", {**own, "note": "x"})).status == 404


async def test_unknown_ids_are_not_found(shop: Shop, open_console: OpenConsole) -> None:
    robin = await open_console("supervisor@example.com")
    await shop.subscribe(shop.person("ada"))
    payment = await payment_of(shop, "ada")
    for path in (
        "/readers/rdr_made_up",
        f"/readers/{payment}",
        "/readers/rdr_made_up/comp",
        "/payments/pi_made_up/refund",
        f"/payments/{payment}x/refund",
        "/subscriptions/scr_made_up/cancel",
        "/subscriptions/scr_made_up/resume",
        "/subscriptions/scr_made_up/extend",
        "/refunds/rfd_made_up",
        "/readers/%27%20OR%201=1--",
        f"/readers/{'x' * 3000}",
    ):
        page = await robin.open(path)
        assert page.status == 404, path
        assert words_in(page.text, "ada") == []


async def test_html_in_names_addresses_notes_and_searches_is_shown_as_text(
    shop: Shop, open_console: OpenConsole
) -> None:
    robin, sam, alex = (
        await open_console("agent@example.com"),
        await open_console("supervisor@example.com"),
        await open_console("admin@example.com"),
    )
    await shop.subscribe(shop.person("ada"))
    await shop.execute(f"UPDATE subscribers SET name = '{SCRIPT}', email = '{SCRIPT}@example.com'")
    ada, payment = await reader_of(shop, "ada"), await payment_of(shop, "ada")
    confirmation = await review(robin, payment, basis="goodwill", much="45", reason="other", note=SCRIPT)
    asked = await robin.submit(confirmation, "/refund")
    form = await robin.open(f"/readers/{ada}/comp")
    submitted = await robin.submit(form, "/comp", ends="day", day="2026-06-30", reason="other", note=SCRIPT)
    await shop.execute(f"UPDATE events SET state = 'dead', last_error = '{SCRIPT}' WHERE type = 'invoice.paid'")
    held = await subscription_of(shop, "ada")
    pages = [confirmation, asked, submitted, *[await robin.open(path) for path in (
        f"/readers/{ada}", f"/readers?q={SCRIPT}", f"/readers?part=1&q={SCRIPT}", f"/subscriptions/{held}/cancel",
        f"/subscriptions/{held}/extend", f"/payments/{payment}/refund",
    )]]  # fmt: skip
    pages += [await sam.open("/approvals"), await sam.open(asked.url.partition("/console")[2])]
    pages += [await alex.open("/events"), await alex.open(f"/audit?actor={SCRIPT}"), await alex.open("/audit")]
    for page in pages:
        assert page.status == 200, page.url
        scripts = [script.attributes.get("src", "none") for script in page.find("script")]
        assert scripts in (["/console/static/console.js"], []), page.url
        assert SCRIPT in page.text or f'value="{SCRIPT}"' in page.text or "audit" in page.url, page.url


@pytest.mark.parametrize("key", ["", "x" * 101, "with space", "new\nline"])
async def test_refund_form_needs_a_valid_idempotency_key(shop: Shop, open_console: OpenConsole, key: str) -> None:
    robin = await open_console("agent@example.com")
    await shop.subscribe(shop.person("ada"))
    confirmation = await review(robin, await payment_of(shop, "ada"))
    page = await robin.submit(confirmation, "/refund", key=key)
    assert page.status in {409, 422}
    assert await refunds_at_stripe(shop) == 0


async def test_forms_of_an_erased_reader_are_not_found(shop: Shop, open_console: OpenConsole) -> None:
    robin = await open_console("agent@example.com")
    await shop.subscribe(shop.person("ada"))
    ada, held = await reader_of(shop, "ada"), await subscription_of(shop, "ada")
    forms = [
        (await robin.open(f"/subscriptions/{held}/cancel"), "/cancel"),
        (await robin.open(f"/subscriptions/{held}/extend"), "/extend"),
        (await robin.open(f"/readers/{ada}/comp"), "/comp"),
        (await review(robin, await payment_of(shop, "ada")), "/refund"),
    ]
    await lose_readers(shop)
    for form, action in forms:
        page = await robin.submit(form, action)
        assert page.status == 404, action
        assert page.title.startswith("Not found")
        assert words_in(page.text, "ada") == []
    assert await refunds_at_stripe(shop) == 0
    assert await shop.rows("SELECT FROM subscribers") == []


async def test_two_agents_cancel_a_subscription_once(shop: Shop, open_console: OpenConsole) -> None:
    robin, sam = await open_console("agent@example.com"), await open_console("supervisor@example.com")
    await shop.subscribe(shop.person("ada"))
    held = await subscription_of(shop, "ada")
    first, second = await robin.open(f"/subscriptions/{held}/cancel"), await sam.open(f"/subscriptions/{held}/cancel")
    for console, form in ((robin, first), (sam, second)):
        assert "It ends at the end of the paid period." in (await console.submit(form, "/cancel")).text
    written = await shop.rows("SELECT actor FROM audit_log WHERE action = 'subscription.cancel_at_period_end'")
    assert [row["actor"] for row in written] == ["staff:staff-agent"]
