"""Incomplete and wrong events are applied, ignored with a reason, or rejected, but never cause an error."""

import json
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest

from app.domain.events import TYPES, TYPES_WITH_EFFECT, InvalidEvent, RefetchRequest
from app.domain.text import is_storable
from app.gateway import events

IDS = {
    "customer.subscription": {"id": "sub_1", "object": "subscription"},
    "checkout.session": {"id": "cs_1", "object": "checkout.session"},
    "invoice": {"id": "in_1", "parent": {"subscription_details": {"subscription": "sub_1"}}},
    "invoice_payment": {"id": "inpay_1", "invoice": "in_1"},
    "credit_note": {"id": "cn_1", "invoice": "in_1"},
}
MONEY = {"id": "re_1", "payment_intent": "pi_1"}
WRONG: list[Any] = [None, 0, -1, 2**70, 1e308, True, "", "x" * 300, "a\x00b", "\ud800", [], {}, [[]], {"id": None}]
GONE = object()


def event(kind: str) -> dict[str, Any]:
    family = next((one for one in IDS if kind.startswith(f"{one}.")), "")
    return {
        "id": "evt_1",
        "object": "event",
        "type": kind,
        "api_version": "2026-10-28.endive",
        "created": 1_772_388_000,
        "livemode": False,
        "data": {"object": deepcopy(IDS.get(family, MONEY))},
    }


def paths(thing: object, before: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if isinstance(thing, dict):
        for name, inner in thing.items():
            yield (*before, name)
            yield from paths(inner, (*before, name))


def changed(whole: dict[str, Any], path: tuple[str, ...], value: object) -> str:
    copy = deepcopy(whole)
    inner = copy
    for step in path[:-1]:
        inner = inner[step]
    if value is GONE:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return json.dumps(copy)


@pytest.mark.parametrize("kind", TYPES)
def test_an_incomplete_or_wrong_event_never_causes_an_error(kind: str) -> None:
    whole = event(kind)
    right = events.refetch_request(json.dumps(whole))
    assert (right.key is not None) == (kind in TYPES_WITH_EFFECT)
    for path in paths(whole):
        for value in (GONE, *WRONG):
            try:
                refetch = events.refetch_request(changed(whole, path, value))
            except InvalidEvent:
                assert path[0] in {"id", "object", "type", "data"}, path
                continue
            assert_can_be_kept(refetch)
            assert (refetch.key is None) == (refetch.ignored is not None)


def assert_can_be_kept(refetch: RefetchRequest) -> None:
    for text in (refetch.event_id, refetch.type, refetch.api_version, refetch.object_id, refetch.key, refetch.ignored):
        assert text is None or is_storable(text)
    assert refetch.livemode in (None, True, False)


def test_metadata_with_our_ids_does_not_change_what_is_fetched() -> None:
    whole = event("refund.created")
    whole["data"]["object"]["metadata"] = {"newsstand_refund": "rfd_of_another", "newsstand_subscriber": "rdr_2"}
    assert events.refetch_request(json.dumps(whole)).key == "payment:pi_1"
