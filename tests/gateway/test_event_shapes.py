"""Which object an event is about, in the shape of every API version since 2017, and what payloads can be stored."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.events import FAMILIES, TYPES, InvalidEvent
from app.gateway.events import reduced_payload, refetch_request

# The first version of each shape. A webhook endpoint keeps the version that it was created with.
V2017, V2018, V2019, V2020 = "2017-08-15", "2018-11-08", "2019-12-03", "2020-08-27"
V2022, V2023, V2024, ACACIA = "2022-11-15", "2023-10-16", "2024-06-20", "2024-12-18.acacia"
BASIL, CLOVER, ENDIVE = "2025-03-31.basil", "2025-09-30.clover", "2026-10-28.endive"

OLD_LINES = {"object": "list", "data": [{"id": "sub_1", "object": "line_item", "type": "subscription"}]}
PLAIN_INVOICE = {"id": "in_1", "object": "invoice", "subscription": "sub_1", "lines": OLD_LINES}
PARENT = {"type": "subscription_details", "subscription_details": {"metadata": {}, "subscription": "sub_1"}}
SHAPES: list[tuple[str, str, str, dict[str, Any], str]] = [  # version, type, what is special, object, key
    # invoices
    (V2017, "invoice.payment_succeeded", "charge", {**PLAIN_INVOICE, "charge": "ch_1"}, "subscription:sub_1"),
    (V2018, "invoice.created", "billing", {**PLAIN_INVOICE, "billing": "send_invoice"}, "subscription:sub_1"),
    (V2019, "invoice.paid", "payment intent", {**PLAIN_INVOICE, "payment_intent": "pi_1"}, "subscription:sub_1"),
    (V2020, "invoice.updated", "expanded", {"id": "in_1", "subscription": {"id": "sub_1"}}, "subscription:sub_1"),
    (V2022, "invoice.upcoming", "no ID", {"object": "invoice", "subscription": "sub_1"}, "subscription:sub_1"),
    (
        V2024,
        "invoice.payment_failed",
        "details beside",
        {**PLAIN_INVOICE, "subscription_details": {"metadata": {}}},
        "subscription:sub_1",
    ),
    (
        ACACIA,
        "invoice.finalized",
        "an item of a subscription on an invoice by hand",
        {"id": "in_1", "subscription": None, "lines": {"data": [{"subscription": None}, {"subscription": "sub_1"}]}},
        "subscription:sub_1",
    ),
    (BASIL, "invoice.paid", "parent", {"id": "in_1", "parent": PARENT}, "subscription:sub_1"),
    (
        CLOVER,
        "invoice.paid",
        "parent expanded",
        {"id": "in_1", "parent": {"subscription_details": {"subscription": {"id": "sub_1", "object": "subscription"}}}},
        "subscription:sub_1",
    ),
    (
        ENDIVE,
        "invoice.paid",
        "quote",
        {
            "id": "in_1",
            "parent": {"type": "quote_details", "quote_details": {"quote": "qt_1"}, "subscription_details": None},
            "lines": {"data": [{"parent": {"subscription_item_details": {"subscription": "sub_1"}}}]},
        },
        "subscription:sub_1",
    ),
    (
        ENDIVE,
        "invoice.created",
        "a pending item on an invoice by hand",
        {
            "id": "in_1",
            "parent": None,
            "lines": {"data": [{"parent": {"invoice_item_details": {"subscription": "sub_1"}}}]},
        },
        "subscription:sub_1",
    ),
    (ENDIVE, "invoice.paid", "an unknown shape", {"id": "in_1", "object": "invoice"}, "invoice:in_1"),
    # subscriptions, with the plan and the period at the top
    (
        V2017,
        "customer.subscription.updated",
        "plan and period at the top",
        {"id": "sub_1", "plan": {"id": "gold"}, "quantity": 1, "current_period_end": 1_503_000_000},
        "subscription:sub_1",
    ),
    (V2024, "customer.subscription.deleted", "period", {"id": "sub_1", "current_period_end": 1}, "subscription:sub_1"),
    (ENDIVE, "customer.subscription.paused", "items", {"id": "sub_1", "items": {"data": []}}, "subscription:sub_1"),
    (V2019, "subscription_schedule.updated", "", {"id": "sub_sched_1", "subscription": "sub_1"}, "subscription:sub_1"),
    (
        ENDIVE,
        "subscription_schedule.released",
        "released",
        {"id": "sub_sched_1", "subscription": None, "released_subscription": "sub_1"},
        "subscription:sub_1",
    ),
    # charges and refunds
    (V2017, "charge.refunded", "invoice", {"id": "ch_1", "invoice": "in_1"}, "credited:in_1"),
    (
        V2019,
        "charge.refunded",
        "both",
        {"id": "ch_1", "payment_intent": "pi_1", "invoice": "in_1"},
        "payment:pi_1",
    ),
    (V2023, "charge.succeeded", "expanded", {"id": "ch_1", "payment_intent": {"id": "pi_1"}}, "payment:pi_1"),
    (BASIL, "charge.refunded", "no invoice", {"id": "py_1", "payment_intent": "pi_1"}, "payment:pi_1"),
    (V2017, "charge.refunded", "neither", {"id": "ch_1", "invoice": None}, "charge:ch_1"),
    (V2017, "charge.refund.updated", "charge only", {"id": "re_1", "charge": "ch_1"}, "charge:ch_1"),
    (V2018, "charge.refund.updated", "expanded", {"id": "re_1", "charge": {"id": "ch_1"}}, "charge:ch_1"),
    (V2022, "refund.updated", "both", {"id": "re_1", "charge": "ch_1", "payment_intent": "pi_1"}, "payment:pi_1"),
    (ENDIVE, "refund.failed", "", {"id": "re_1", "charge": None, "payment_intent": "pi_1"}, "payment:pi_1"),
    # disputes and warnings
    (V2017, "charge.dispute.created", "charge only", {"id": "dp_1", "charge": "ch_1"}, "dispute:dp_1"),
    (
        V2018,
        "charge.dispute.closed",
        "charge expanded",
        {"id": "dp_1", "charge": {"id": "ch_1", "payment_intent": "pi_1"}},
        "payment:pi_1",
    ),
    (
        V2020,
        "charge.dispute.updated",
        "both",
        {"id": "du_1", "charge": "ch_1", "payment_intent": "pi_1"},
        "payment:pi_1",
    ),
    (V2018, "radar.early_fraud_warning.created", "charge only", {"id": "issfr_1", "charge": "ch_1"}, "charge:ch_1"),
    (ENDIVE, "radar.early_fraud_warning.created", "", {"id": "issfr_1", "payment_intent": "pi_1"}, "payment:pi_1"),
    # payment intents
    (V2019, "payment_intent.processing", "invoice", {"id": "pi_1", "invoice": "in_1"}, "invoice:in_1"),
    (V2022, "payment_intent.succeeded", "expanded", {"id": "pi_1", "invoice": {"id": "in_1"}}, "invoice:in_1"),
    (BASIL, "payment_intent.processing", "no invoice", {"id": "pi_1"}, "pending_payment:pi_1"),
    # the rest
    (V2017, "credit_note.created", "refund", {"id": "cn_1", "invoice": "in_1", "refund": "re_1"}, "credited:in_1"),
    (BASIL, "credit_note.voided", "refunds", {"id": "cn_1", "invoice": {"id": "in_1"}, "refunds": []}, "credited:in_1"),
    (BASIL, "invoice_payment.paid", "", {"id": "inpay_1", "invoice": "in_1"}, "invoice:in_1"),
    (V2019, "checkout.session.completed", "items", {"id": "cs_1", "display_items": []}, "checkout:cs_1"),
    (V2017, "customer.deleted", "sources", {"id": "cus_1", "sources": {"data": []}}, "customer:cus_1"),
]


def event(version: str | None, kind: str, thing: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": "evt_1",
        "object": "event",
        "type": kind,
        "api_version": version,
        "created": 1_772_388_000,
        "livemode": False,
        "request": "req_1",  # an object since 2017-05-25
        "data": {"object": thing},
    }


@pytest.mark.parametrize(
    ("version", "kind", "thing", "key"),
    [pytest.param(v, k, thing, key, id=f"{v} {k} {what}".strip()) for v, k, what, thing, key in SHAPES],
)
def test_the_object_is_found_in_the_shape_of_every_version(
    version: str, kind: str, thing: dict[str, Any], key: str
) -> None:
    found = refetch_request(json.dumps(event(version, kind, thing)))
    assert (found.key, found.ignored, found.api_version) == (key, None, version)


@pytest.mark.parametrize(
    ("version", "kind", "thing"),
    [
        (V2024, "invoice.paid", {"id": "in_1", "subscription": None}),
        (ENDIVE, "invoice.paid", {"id": "in_1", "parent": None}),
        (V2022, "payment_intent.succeeded", {"id": "pi_1", "invoice": None}),
        (ENDIVE, "refund.created", {"id": "re_1", "charge": None, "payment_intent": None}),
        (ENDIVE, "subscription_schedule.created", {"id": "sub_sched_1", "subscription": None}),
        (ENDIVE, "product.updated", {"id": "prod_1"}),
    ],
)
def test_an_object_of_another_product_is_ignored_with_a_reason(version: str, kind: str, thing: dict[str, Any]) -> None:
    found = refetch_request(json.dumps(event(version, kind, thing)))
    assert found.key is None
    assert found.ignored


def test_a_thin_event_is_ignored_with_a_reason() -> None:
    thin = {
        "id": "evt_test_1",
        "object": "v2.core.event",
        "type": "v2.core.account.updated",
        "created": "2026-03-01T18:00:00.000Z",
        "livemode": False,
        "related_object": {"id": "acct_1", "type": "v2.core.account", "url": "/v2/core/accounts/acct_1"},
    }
    found = refetch_request(json.dumps(thin))
    assert (found.key, found.ignored) == (None, "Thin events are not used")
    assert (found.object_id, found.livemode) == ("acct_1", False)
    assert found.created_at is not None
    assert found.created_at.isoformat() == "2026-03-01T18:00:00+00:00"
    assert refetch_request(json.dumps({**thin, "related_object": None, "created": "soon"})).created_at is None


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
def test_a_constant_that_is_not_json_is_refused(constant: str) -> None:
    text = json.dumps(event(ENDIVE, "invoice.paid", {"id": "in_1"})).replace("1772388000", constant)
    with pytest.raises(InvalidEvent, match="not JSON"):
        refetch_request(text)


STEPS = sorted(
    {"id", "customer"} | {step for family in FAMILIES.values() for _, path in family.places for step in path}
)
PERSONAL = {
    "email": "ada@example.com",
    "name": "Ada Invented",
    "phone": "+1 555 0100",
    "address": {"line1": "1 Lantern Street", "city": "Springfield"},
    "metadata": {"name": "Ada Invented", "subscription": "Ada Invented", "id": "ada@example.com"},
    "hosted_invoice_url": "https://invoice.example/open",
    "client_secret": "pi_1_secret_2",
    "description": "Ada Invented, ada@example.com",
    "customer": "cus_1",
}


@pytest.mark.parametrize("event_type", [*TYPES, "issuing_card.created", "customer.tax_id.created"])
def test_a_reduced_payload_has_nothing_about_a_person(event_type: str) -> None:
    lines = {"data": [{"id": "il_1", "description": "Ada Invented", "subscription": "sub_1"}] * 3}
    thing = {"id": "in_1", **PERSONAL, "lines": lines, "charge": {"id": "ch_1", "billing_details": PERSONAL}}
    whole = event(ENDIVE, event_type, thing) | {"request": {"idempotency_key": "ada@example.com"}}
    whole["data"]["previous_attributes"] = PERSONAL

    reduced = reduced_payload(json.dumps(whole))

    for said in ("Ada", "ada@", "555", "Lantern", "Springfield", "https", "secret"):
        assert said not in reduced
    assert refetch_request(reduced) == refetch_request(json.dumps(whole))
    assert reduced_payload(reduced) == reduced
    assert json.loads(reduced)["data"]["object"]["lines"] == {"data": [{"subscription": "sub_1"}]}


IDS = st.sampled_from(["sub_1", "in_1", "pi_1", "ch_1", "cus_1"])
VALUES = st.recursive(
    st.one_of(IDS, st.none(), st.booleans(), st.integers(), st.just("")),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(STEPS), inner, max_size=4)),
    max_leaves=12,
)


@given(
    event_type=st.sampled_from([*TYPES, "issuing_card.created"]),
    thing=st.dictionaries(st.sampled_from(STEPS), VALUES, max_size=6),
)
def test_an_event_requests_the_same_refetch_after_it_is_reduced(event_type: str, thing: dict[str, Any]) -> None:
    text = json.dumps(event(ENDIVE, event_type, thing))
    assert refetch_request(reduced_payload(text)) == refetch_request(text)


@pytest.mark.parametrize("text", ["[" * 100_000, "{", "[]", "null", '"text"', "1" * 5000, "", "not JSON"])
def test_a_stored_payload_that_is_not_an_object_is_reduced_to_an_empty_one(text: str) -> None:
    assert reduced_payload(text) == "{}"


@pytest.mark.parametrize(
    "odd",
    [
        pytest.param('{"id": "\\ud83d", "subscription": "\\u0000"}', id="characters that no database stores"),
        pytest.param('{"lines": ' * 300 + "1" + "}" * 300, id="300 levels"),
        pytest.param('{"id": NaN, "subscription": 1e999}', id="numbers that are not JSON"),
    ],
)
def test_every_stored_payload_can_be_reduced_and_shown(odd: str) -> None:
    text = f'{{"id": "evt_1", "object": "event", "type": "invoice.paid", "data": {{"object": {odd}}}}}'
    reduced = reduced_payload(text)
    json.dumps(json.loads(reduced), allow_nan=False, ensure_ascii=False).encode()
    assert len(reduced) < 500
