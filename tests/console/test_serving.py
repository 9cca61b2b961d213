"""What the console does for a reader: cancel, resume, extend, comp. Each with a reason, and written down."""

from datetime import UTC, datetime

from tests.console.conftest import Sit, Sitter
from tests.support.shop import Shop


async def reader_page(shop: Shop, robin: Sitter) -> str:
    return f"/readers/{(await shop.rows('SELECT id FROM subscribers'))[0]['id']}"


async def subscription(shop: Shop) -> str:
    return str((await shop.rows("SELECT id FROM subscriptions"))[0]["id"])


async def noted(shop: Shop, action: str) -> list[tuple[str, str]]:
    rows = await shop.rows(
        "SELECT actor, concat_ws(': ', reason, words) AS why FROM audit_log LEFT JOIN audit_notes ON audit_id = id"
        " WHERE action = $1 ORDER BY id",
        action,
    )
    return [(row["actor"], row["why"]) for row in rows]


async def test_a_subscription_is_cancelled_and_goes_on_again_at_the_readers_wish(shop: Shop, sit: Sit) -> None:
    robin, ada = await sit("agent@example.com"), shop.person("ada")
    await shop.subscribes(ada)
    held = await subscription(shop)
    form = await robin.open(f"/subscriptions/{held}/cancel")
    page = await robin.sends(form, "/cancel", reason="other", note="Moves to Mars.")
    assert "The subscription ends with what is paid." in page.text
    assert "24 of 24 issues still to come: ends then" in page.text
    assert "Resume…" in page.text
    page = await robin.sends(
        await robin.open(f"/subscriptions/{held}/resume"), "/resume", reason="cancelled_by_mistake"
    )
    assert "goes on, and renews" in page.text
    assert "ends then" not in page.text
    assert await noted(shop, "subscription.cancel_at_period_end") == [("staff:staff-agent", "other: Moves to Mars.")]
    assert await noted(shop, "subscription.resume") == [("staff:staff-agent", "cancelled_by_mistake")]
    assert await shop.may_read(ada)
    page = await robin.sends(await robin.open(f"/subscriptions/{held}/cancel"), "/cancel", when="now")
    assert "cancelled at once" in page.text
    assert not await shop.may_read(ada)
    late = await robin.sends(form, "/cancel", when="now")
    assert late.status == 409
    assert "The subscription is over" in late.text


async def test_a_comp_lets_a_reader_in_until_it_is_taken_back(shop: Shop, sit: Sit) -> None:
    robin, ada = await sit("agent@example.com"), shop.person("ada")
    await shop.opens_checkout(ada)  # known here, and never paid
    await shop.does(
        "INSERT INTO issues (number, title, cover_date, planned_mail_date, label_cutoff, counts_as)"
        " SELECT n, 'Issue ' || n, d, d, d - 9, 1 FROM generate_series(1, 24) n,"
        " LATERAL (SELECT DATE '2026-01-01' + n * 15 AS d) x"
    )
    await shop.does("DELETE FROM calendar_edition")
    await shop.does("INSERT INTO calendar_edition (id, token) VALUES (true, 'x')")
    path = await reader_page(shop, robin)
    page = await robin.sends(await robin.open(f"{path}/comp"), "/comp", issues="3", reason="contributor")
    assert "They read as a guest until" in page.text
    assert "Reads as a guest until" in page.text
    assert await shop.may_read(ada)
    assert (await robin.sends(page, "/take-back")).status == 422, "without a reason"
    page = await robin.sends(page, "/take-back", note="Given to the wrong Ada.")
    assert "The comp was taken back." in page.text
    assert not await shop.may_read(ada)


async def test_a_comp_lasts_to_the_end_of_a_day_and_is_given_once_however_often_the_form_is_sent(
    shop: Shop, sit: Sit
) -> None:
    robin, ada = await sit("agent@example.com"), shop.person("ada")
    await shop.opens_checkout(ada)  # known here, and never paid
    form = await robin.open(f"{await reader_page(shop, robin)}/comp")
    for day, said in [
        ("", "say until which day"),
        ("tomorrow", "say until which day"),
        ("2026-03-01", "choose a day after today"),
        ("2031-03-01", "within three years"),
    ]:
        refused = await robin.sends(form, "/comp", ends="day", day=day)
        assert (refused.status, said in refused.text) == (422, True), day
    assert (await robin.sends(form, "/comp", ends="for ever")).status == 422
    for _ in range(2):
        page = await robin.sends(
            form, "/comp", ends="day", day="2026-06-30", reason="press", note="The county library."
        )
        assert "They read as a guest until 30 June 2026." in page.text
        assert "Reads as a guest until 30 June 2026" in page.text
    assert await shop.rows("SELECT until, issues FROM comps") == [
        {"until": datetime(2026, 7, 1, 4, 59, 59, tzinfo=UTC), "issues": None}
    ]
    assert await noted(shop, "comp.given") == [("staff:staff-agent", "press: The county library.")]
    assert await shop.may_read(ada)


async def test_issues_are_added_once_however_often_the_form_is_sent(shop: Shop, sit: Sit) -> None:
    robin, ada = await sit("agent@example.com"), shop.person("ada")
    await shop.subscribes(ada)
    form = await robin.open(f"/subscriptions/{await subscription(shop)}/extend")
    for _ in range(2):
        page = await robin.sends(form, "/extend", issues="3", reason="copies_missing")
        assert "Extended by 3: 27 issues are still to come." in page.text
        assert "27 of 27 issues still to come" in page.text
    assert await noted(shop, "subscription.extend") == [("staff:staff-agent", "copies_missing")]
    assert (await robin.sends(form, "/extend", issues="0")).status == 422
    assert (await robin.sends(form, "/extend", issues="1000")).status == 422
