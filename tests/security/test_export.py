"""An export has everything about one person, nothing about anybody else, and can be read."""

from app.domain.exports import Export, readable_page
from tests.security.test_erasure import SUB, id_of, officer_of, with_history
from tests.support.shop import START_TIME, Shop


async def test_an_export_has_everything_about_one_person_and_nobody_else(shop: Shop) -> None:
    await with_history(shop)
    await shop.subscribe(shop.person("bob"))
    reader = await id_of(shop)

    answer = await shop.get(f"/v1/support/subscribers/{reader}/export", officer_of(shop))

    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert set(found["here"]) >= {
        "subscribers", "contact_changes", "subscriptions", "payments", "refunds", "terms", "comps", "audit_log",
        "audit_notes", "entitlements", "grants", "checkouts", "intents", "reader_views", "issue_adjustments", "anomalies",
    }  # fmt: skip
    (customer,) = found["at_stripe"]
    assert {len(customer[kind]) for kind in ("subscriptions", "invoices", "charges", "payment_methods")} == {1}
    assert "bob@" not in answer.text
    assert "staff:" not in answer.text
    assert 'client_secret":"pi_' not in answer.text
    assert answer.headers["cache-control"] == "no-store"
    actions = await shop.rows("SELECT actor FROM audit_log WHERE action = 'reader.exported'")
    views = await shop.rows("SELECT viewer FROM reader_views WHERE place = 'export'")
    assert (actions, views) == ([{"actor": "staff:officer"}], [{"viewer": "staff:officer"}])


def test_a_page_shows_text_as_text() -> None:
    rows = {"subscribers": [{"name": f"<script>{SUB}</script>", "email": None, "more": {"city": ["a", {"b": 1}]}}]}
    page = readable_page(Export(subscriber_id="rdr_1", exported_at=START_TIME, here=rows, at_stripe=()))

    assert f"&lt;script&gt;{SUB}" in page
    assert "<script" not in page
    assert '<th scope="row">More: city 2: b</th><td>1</td>' in page
    assert "Email" not in page
