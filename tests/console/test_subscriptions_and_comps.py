"""Canceling, resuming, extending and complimentary access, each with a reason in the audit log."""

from datetime import UTC, datetime

from app.console.comps import MAX_NOTE
from tests.console.conftest import ConsoleBrowser, OpenConsole
from tests.support.shop import Shop


async def reader_page(shop: Shop, robin: ConsoleBrowser) -> str:
    return f"/readers/{(await shop.rows('SELECT id FROM subscribers'))[0]['id']}"


async def subscription(shop: Shop) -> str:
    return str((await shop.rows("SELECT id FROM subscriptions"))[0]["id"])


async def audit_entries(shop: Shop, action: str) -> list[tuple[str, str]]:
    rows = await shop.rows(
        "SELECT actor, concat_ws(': ', reason, words) AS why FROM audit_log LEFT JOIN audit_notes ON audit_id = id"
        " WHERE action = $1 ORDER BY id",
        action,
    )
    return [(row["actor"], row["why"]) for row in rows]


async def test_subscription_is_canceled_and_resumed(shop: Shop, open_console: OpenConsole) -> None:
    robin, ada = await open_console("agent@example.com"), shop.person("ada")
    await shop.subscribe(ada)
    held = await subscription(shop)
    form = await robin.open(f"/subscriptions/{held}/cancel")
    page = await robin.submit(form, "/cancel", reason="other", note="Moves to Mars.")
    assert "Subscription canceled. It ends at the end of the paid period." in page.text
    assert "does not renew (canceled)" in page.text
    assert "24 of 24 issues remaining" in page.text
    assert "Resume subscription" in page.text
    page = await robin.submit(
        await robin.open(f"/subscriptions/{held}/resume"), "/resume", reason="cancelled_by_mistake"
    )
    assert "Subscription resumed. It will renew as usual." in page.text
    assert "does not renew" not in page.text
    assert await audit_entries(shop, "subscription.cancel_at_period_end") == [
        ("staff:staff-agent", "other: Moves to Mars.")
    ]
    assert await audit_entries(shop, "subscription.resume") == [("staff:staff-agent", "cancelled_by_mistake")]
    assert await shop.may_read(ada)
    asked = await robin.submit(await robin.open(f"/subscriptions/{held}/cancel"), "/cancel", when="now")
    assert "subscription immediately?" in asked.text
    assert await shop.may_read(ada), "nothing was changed yet"
    page = await robin.submit(asked, "/cancel-now")
    assert "canceled immediately" in page.text
    assert not await shop.may_read(ada)
    late = await robin.submit(form, "/cancel", when="now")
    assert late.status == 409
    assert "The subscription has already ended" in late.text


async def test_print_is_added_and_dropped_for_a_reader(shop: Shop, open_console: OpenConsole) -> None:
    robin, ada = await open_console("agent@example.com"), shop.person("ada")
    await shop.plan_issues(30)
    await shop.subscribe(ada)
    held = await subscription(shop)
    assert "Add print" in (await robin.open(await reader_page(shop, robin))).text
    form = await robin.open(f"/subscriptions/{held}/print")
    address = {"name": "Ada Invented", "line1": "1 Lantern Street", "city": "Springfield", "region": "IL"}
    added = await robin.submit(form, "/print", **address, postal_code="62701", country="US")
    assert "Print added." in added.text
    await shop.wait_until_idle()
    drop = await robin.open(f"/subscriptions/{held}/print")
    assert "$23 is refunded" in drop.text
    assert "Print dropped. Its unserved share is being refunded." in (await robin.submit(drop, "/print")).text
    await shop.wait_until_idle()
    assert "Add print" in (await robin.open(await reader_page(shop, robin))).text


async def test_undoing_a_scheduled_end_says_that_payments_are_still_paused(
    shop: Shop, open_console: OpenConsole
) -> None:
    robin, ada = await open_console("agent@example.com"), shop.person("ada")
    await shop.subscribe(ada)
    held = await subscription(shop)
    (row,) = await shop.rows("SELECT stripe_id FROM subscriptions")
    await shop.stripe_post(
        f"/v1/subscriptions/{row['stripe_id']}",
        **{"pause_collection[behavior]": "void", "cancel_at_period_end": "true"},
    )
    await shop.wait_until_idle()
    form = await robin.open(f"/subscriptions/{held}/resume")
    page = await robin.submit(form, "/resume", reason="cancelled_by_mistake")
    assert "The scheduled end was removed, but payments are still paused." in page.text
    assert "does not renew" not in page.text


async def test_comp_gives_access_until_it_is_revoked(shop: Shop, open_console: OpenConsole) -> None:
    robin, ada = await open_console("agent@example.com"), shop.person("ada")
    await shop.open_checkout(ada)  # the reader is known, but has not paid
    await shop.plan_issues(24)
    path = await reader_page(shop, robin)
    page = await robin.submit(await robin.open(f"{path}/comp"), "/comp", issues="3", reason="contributor")
    assert "Complimentary access until" in page.text
    assert "Complimentary access until" in page.text
    assert await shop.may_read(ada)
    assert (await robin.submit(page, "/take-back")).status == 422, "without a reason"
    page = await robin.submit(page, "/take-back", note="Given to the wrong Ada.")
    assert "Complimentary access revoked." in page.text
    assert not await shop.may_read(ada)


async def test_comp_form_sent_twice_gives_access_once_until_the_end_of_the_day(
    shop: Shop, open_console: OpenConsole
) -> None:
    robin, ada = await open_console("agent@example.com"), shop.person("ada")
    await shop.open_checkout(ada)  # the reader is known, but has not paid
    form = await robin.open(f"{await reader_page(shop, robin)}/comp")
    for day, message in [
        ("", "Enter a date such as 2027-03-01"),
        ("tomorrow", "Enter a date such as 2027-03-01"),
        ("2026-03-01", "Choose a date after today"),
        ("2031-03-01", "within three years"),
    ]:
        refused = await robin.submit(form, "/comp", ends="day", day=day)
        assert (refused.status, message in refused.text) == (422, True), day
    assert (await robin.submit(form, "/comp", ends="for ever")).status == 422
    for _ in range(2):
        page = await robin.submit(
            form, "/comp", ends="day", day="2026-05-31", reason="press", note="The county library."
        )
        assert "Complimentary access until May 31, 2026." in page.text
        assert "Complimentary access until May 31, 2026" in page.text
    assert await shop.rows("SELECT until, issues FROM comps") == [
        {"until": datetime(2026, 6, 1, 4, 59, 59, tzinfo=UTC), "issues": None}
    ]
    assert await audit_entries(shop, "comp.given") == [("staff:staff-agent", "press: The county library.")]
    assert await shop.may_read(ada)


async def test_extension_form_sent_twice_adds_issues_once(shop: Shop, open_console: OpenConsole) -> None:
    robin, ada = await open_console("agent@example.com"), shop.person("ada")
    await shop.subscribe(ada)
    form = await robin.open(f"/subscriptions/{await subscription(shop)}/extend")
    for _ in range(2):
        page = await robin.submit(form, "/extend", issues="3", reason="copies_missing")
        assert "3 issues added. 27 issues remain." in page.text
        assert "27 of 27 issues remaining" in page.text
    assert await audit_entries(shop, "subscription.extend") == [("staff:staff-agent", "copies_missing")]
    assert (await robin.submit(form, "/extend", issues="0")).status == 422
    assert (await robin.submit(form, "/extend", issues="1000")).status == 422


async def test_a_paused_subscription_shows_what_canceling_does_and_is_canceled(
    shop: Shop, open_console: OpenConsole
) -> None:
    robin, ada = await open_console("agent@example.com"), shop.person("ada")
    await shop.subscribe(ada)
    (held,) = (await shop.overview(ada))["subscriptions"]
    not_credited = {"bill_for[unused_time_from][type]": "none"}
    await shop.stripe_post(f"/v1/subscriptions/{held['stripe_id']}/pause", **not_credited)
    await shop.wait_until_idle()
    assert "Cancel subscription" in (await robin.open(await reader_page(shop, robin))).text

    form = await robin.open(f"/subscriptions/{held['id']}/cancel")
    assert "The subscription ends at Stripe now, so that nothing more is charged." in form.text
    assert "Paid access continues until March 1, 2027" in form.text
    page = await robin.submit(form, "/cancel", reason="requested_by_reader")

    assert "Its open invoices are voided, and paid access continues to its end." in page.text
    assert await shop.may_read(ada)


async def test_a_note_that_is_too_long_is_not_cut(shop: Shop, open_console: OpenConsole) -> None:
    robin = await open_console("agent@example.com")
    await shop.open_checkout(shop.person("ada"))  # the reader is known, but has not paid
    await shop.plan_issues(24)
    form = await robin.open(f"{await reader_page(shop, robin)}/comp")
    refused = await robin.submit(form, "/comp", issues="3", reason="contributor", note="x" * 600)
    assert (refused.status, f"Use {MAX_NOTE} characters or fewer. You entered 600." in refused.text) == (422, True)
    assert await shop.rows("SELECT FROM comps") == []
    await robin.submit(form, "/comp", issues="3", reason="contributor", note="x" * MAX_NOTE)
    assert (await audit_entries(shop, "comp.given"))[0][1] == f"contributor: {'x' * MAX_NOTE}"


async def test_complimentary_access_for_a_paying_reader_is_questioned(shop: Shop, open_console: OpenConsole) -> None:
    robin, ada = await open_console("agent@example.com"), shop.person("ada")
    await shop.subscribe(ada)
    await shop.plan_issues(24)
    path = await reader_page(shop, robin)

    asked = await robin.submit(await robin.open(f"{path}/comp"), "/comp", issues="3", reason="press", note="A library.")

    assert "already pays for access" in asked.text
    assert "access until March 1, 2027" in asked.text
    assert "For 3 issues. Reason: press or library. Note: “A library.”" in asked.text
    assert await shop.rows("SELECT FROM comps") == []
    back = next(a for a in asked.find("a") if a.text == "Back")
    assert (await robin.browser.open(asked.resolve(back.attributes["href"]))).form("/comp").values()[
        "note"
    ] == "A library."
    for _ in range(2):  # the form that is sent twice counts once
        assert "Complimentary access until" in (await robin.submit(asked, "/comp/confirm")).text
    assert len(await shop.rows("SELECT FROM comps")) == 1


async def test_someone_without_a_record_is_given_access_by_their_sign_in_id(
    shop: Shop, open_console: OpenConsole
) -> None:
    robin = await open_console("agent@example.com")
    await shop.plan_issues(24)
    assert "/console/comps/new" in {a.attributes["href"] for a in (await robin.open("/readers")).find("a")}
    form = await robin.open("/comps/new")
    refused = await robin.submit(form, "/comps/new", issues="0", reason="press", note="A library.")
    assert refused.status == 422
    assert "Enter the person’s ID at the identity provider." in refused.text
    assert "Enter a whole number from 1 to 48." in refused.text
    assert refused.form("/comps/new").values()["note"] == "A library."

    asked = await robin.submit(refused, "/comps/new", sub="guest@example.com", issues="3")

    assert "This looks like an email address." in asked.text
    assert "For 3 issues. Reason: press or library. Note: “A library.”" in asked.text
    assert await shop.rows("SELECT FROM comps") == []
    back = next(a for a in asked.find("a") if a.text == "Back")
    again = await robin.browser.open(asked.resolve(back.attributes["href"]))
    assert again.form("/comps/new").values()["note"] == "A library."
    asked = await robin.submit(again, "/comps/new", sub="auth0|guest:1")
    assert "This looks like an email address." not in asked.text
    for _ in range(2):  # the form that is sent twice counts once
        page = await robin.submit(asked, "/comps/new/confirm")
        assert "Complimentary access until" in page.text
    assert await shop.rows("SELECT sub FROM subscribers JOIN comps ON subscriber_id = subscribers.id") == [
        {"sub": "auth0|guest:1"}
    ]
    assert await audit_entries(shop, "comp.given") == [("staff:staff-agent", "press: A library.")]
    assert await shop.may_read(shop.person("auth0|guest:1"))


async def test_sign_in_id_of_a_known_reader_leads_to_their_own_form(shop: Shop, open_console: OpenConsole) -> None:
    robin, ada = await open_console("agent@example.com"), shop.person("ada")
    await shop.subscribe(ada)
    await shop.plan_issues(24)
    form = await robin.open("/comps/new")
    page = await robin.submit(form, "/comps/new", sub=ada.sub, issues="3", reason="press", note="A library.")
    assert "There is already a reader with this ID." in page.text
    assert page.form("/comp").values()["note"] == "A library."
    assert "already pays for access" in (await robin.submit(page, "/comp")).text
    own = await robin.submit(form, "/comps/new", sub="staff-agent", issues="3", reason="press")
    assert "give anything to yourself" in (await robin.submit(own, "/comps/new/confirm")).text.lower()
    assert await shop.rows("SELECT FROM comps") == []
