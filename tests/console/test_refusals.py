"""What the console does not do, whoever asks and however: nothing moves, and what matters is written down."""

import pytest

from demo.browser import Page
from tests.console.conftest import Sit, Sitter
from tests.support.shop import Shop

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
    return len((await shop.at_stripe("/v1/refunds"))["data"])


async def confirms(robin: Sitter, payment: str, **chosen: str) -> Page:
    return await robin.sends(await robin.open(f"/payments/{payment}/refund"), "/refund/confirm", **chosen)


async def posts(robin: Sitter, path: str, form: dict[str, str]) -> Page:
    """Send what a form of ours says to another address, as somebody does who edits it by hand."""
    client = robin.browser._client
    url = f"{robin.shop.url}/console{path}"
    return Page(await client.post(url, data=form, headers={"Origin": robin.shop.url}, follow_redirects=True))


async def test_a_form_of_one_readers_page_does_nothing_to_another_reader_and_is_written_down(
    shop: Shop, sit: Sit
) -> None:
    robin, sam = await sit("agent@example.com"), await sit("supervisor@example.com")
    for name in ("ada", "bob"):
        await shop.subscribes(shop.person(name))
    bob = await reader_of(shop, "bob")
    payment, held = await payment_of(shop, "bob"), await subscription_of(shop, "bob")
    chosen = await robin.open(f"/payments/{await payment_of(shop, 'ada')}/refund")
    question = await confirms(robin, await payment_of(shop, "ada"))
    cancel = await robin.open(f"/subscriptions/{await subscription_of(shop, 'ada')}/cancel")
    extend = await robin.open(f"/subscriptions/{await subscription_of(shop, 'ada')}/extend")
    tried = 0
    for form, path in [
        (chosen.form("/refund/confirm"), f"/payments/{payment}/refund/confirm"),
        (question.form("/refund"), f"/payments/{payment}/refund"),
        (cancel.form("/cancel"), f"/subscriptions/{held}/cancel"),
        (cancel.form("/cancel"), f"/subscriptions/{held}/resume"),
        (extend.form("/extend"), f"/subscriptions/{held}/extend"),
    ]:
        page = await posts(robin, path, {**form.values(), "reason": "requested_by_reader"})
        assert page.status == 403, path
        assert "of another reader's page, so nothing was done" in page.text, path
        assert "bob" not in page.text.lower()
        tried += 1
    asked = await robin.sends(await confirms(robin, payment, basis="goodwill", much="45", reason="hardship"), "/refund")
    own = (await sam.open(f"/readers/{bob}")).form("/sign-out").values()
    for what in ("approve", "reject"):
        page = await posts(sam, f"/refunds/{asked.url.rpartition('/')[2]}/{what}", {**own, "reader": "rdr_another"})
        assert page.status == 403, what
        tried += 1
    written = await shop.rows("SELECT subscriber_id FROM audit_log WHERE action = 'console.form_refused'")
    assert [row["subscriber_id"] for row in written] == [bob] * tried
    assert await refunds_at_stripe(shop) == 0
    assert [row["status"] for row in await shop.rows("SELECT status FROM refunds")] == ["awaiting_approval"]
    assert await shop.rows("SELECT FROM subscriptions WHERE cancel_at IS NOT NULL") == []


async def test_a_comp_is_not_taken_back_from_the_page_of_another_reader(shop: Shop, sit: Sit) -> None:
    robin = await sit("agent@example.com")
    for name in ("ada", "bob"):
        await shop.opens_checkout(shop.person(name))
    ada, bob = await reader_of(shop, "ada"), await reader_of(shop, "bob")
    form = await robin.open(f"/readers/{ada}/comp")
    page = await robin.sends(form, "/comp", ends="day", day="2026-06-30")
    own = page.form("/take-back").values()
    comp = (await shop.rows("SELECT id FROM comps"))[0]["id"]
    wrong = await posts(robin, f"/comps/{comp}/take-back", {**own, "reader": bob, "note": "Not theirs."})
    assert wrong.status == 403
    assert await shop.may_read(shop.person("ada"))
    assert (await posts(robin, "/comps/cmp_made_up/take-back", {**own, "note": "x"})).status == 404


async def test_ids_that_are_none_are_not_found_and_nothing_is_told(shop: Shop, sit: Sit) -> None:
    robin = await sit("supervisor@example.com")
    await shop.subscribes(shop.person("ada"))
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
        assert "ada" not in page.text.lower()


async def test_a_script_in_a_name_an_address_a_note_and_a_reason_is_words_wherever_it_is_shown(
    shop: Shop, sit: Sit
) -> None:
    robin, sam, alex = (
        await sit("agent@example.com"),
        await sit("supervisor@example.com"),
        await sit("admin@example.com"),
    )
    await shop.subscribes(shop.person("ada"))
    await shop.does(f"UPDATE subscribers SET name = '{SCRIPT}', email = '{SCRIPT}@example.com'")
    ada, payment = await reader_of(shop, "ada"), await payment_of(shop, "ada")
    question = await confirms(robin, payment, basis="goodwill", much="45", reason="other", note=SCRIPT)
    asked = await robin.sends(question, "/refund")
    form = await robin.open(f"/readers/{ada}/comp")
    given = await robin.sends(form, "/comp", ends="day", day="2026-06-30", reason="other", note=SCRIPT)
    await shop.does(f"UPDATE events SET state = 'dead', last_error = '{SCRIPT}' WHERE type = 'invoice.paid'")
    held = await subscription_of(shop, "ada")
    pages = [question, asked, given, *[await robin.open(path) for path in (
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
async def test_a_form_without_a_sound_key_of_its_showing_gives_nothing(shop: Shop, sit: Sit, key: str) -> None:
    robin = await sit("agent@example.com")
    await shop.subscribes(shop.person("ada"))
    question = await confirms(robin, await payment_of(shop, "ada"))
    page = await robin.sends(question, "/refund", key=key)
    assert page.status in {409, 422}
    assert await refunds_at_stripe(shop) == 0


async def test_pages_opened_before_a_reader_was_erased_do_nothing_and_tell_nothing(shop: Shop, sit: Sit) -> None:
    robin = await sit("agent@example.com")
    await shop.subscribes(shop.person("ada"))
    ada, held = await reader_of(shop, "ada"), await subscription_of(shop, "ada")
    forms = [
        (await robin.open(f"/subscriptions/{held}/cancel"), "/cancel"),
        (await robin.open(f"/subscriptions/{held}/extend"), "/extend"),
        (await robin.open(f"/readers/{ada}/comp"), "/comp"),
        (await confirms(robin, await payment_of(shop, "ada")), "/refund"),
    ]
    for table in ("payments", "terms", "grants", "checkouts", "subscriptions", "entitlements"):
        await shop.does(f"DELETE FROM {table}")
    await shop.does("DELETE FROM subscribers")
    for form, action in forms:
        page = await robin.sends(form, action)
        assert page.status == 404, action
        assert "there is no such" in page.text.lower()
        assert "ada" not in page.text.lower()
    assert await refunds_at_stripe(shop) == 0
    assert await shop.rows("SELECT FROM subscribers") == []


async def test_two_agents_who_cancel_and_extend_one_reader_do_each_thing_once(shop: Shop, sit: Sit) -> None:
    robin, sam = await sit("agent@example.com"), await sit("supervisor@example.com")
    await shop.subscribes(shop.person("ada"))
    held = await subscription_of(shop, "ada")
    first, second = await robin.open(f"/subscriptions/{held}/cancel"), await sam.open(f"/subscriptions/{held}/cancel")
    for sitter, form in ((robin, first), (sam, second)):
        assert "The subscription ends with what is paid" in (await sitter.sends(form, "/cancel")).text
    written = await shop.rows("SELECT actor FROM audit_log WHERE action = 'subscription.cancel_at_period_end'")
    assert [row["actor"] for row in written] == ["staff:staff-agent"]
