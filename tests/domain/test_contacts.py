"""A reader's address and name follow the identity provider's tokens."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.callers import Reader
from app.domain.contacts import MAX_NAME_LENGTH, Contact, follow, stripe_fields

ISSUED = datetime(2026, 3, 1, 12, tzinfo=UTC)
KNOWN = Contact(email="ada@example.com", name="Ada Invented", email_verified=True, as_of=ISSUED)
TOKEN = Reader(sub="ada", email="ada@example.com", name="Ada Invented", email_verified=True, issued_at=ISSUED)
LATER = ISSUED + timedelta(hours=1)


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        pytest.param(TOKEN, KNOWN, id="nothing new"),
        pytest.param(replace(TOKEN, issued_at=LATER), KNOWN, id="a newer token that says the same"),
        pytest.param(
            replace(TOKEN, email="new@example.com", issued_at=LATER),
            replace(KNOWN, email="new@example.com", as_of=LATER),
            id="a new address",
        ),
        pytest.param(
            replace(TOKEN, email="new@example.com", email_verified=False, issued_at=LATER),
            replace(KNOWN, email="new@example.com", email_verified=False, as_of=LATER),
            id="a new address that is not verified yet",
        ),
        pytest.param(
            replace(TOKEN, name="Ada Other", issued_at=LATER),
            replace(KNOWN, name="Ada Other", as_of=LATER),
            id="a name",
        ),
        pytest.param(
            Reader(sub="ada", issued_at=LATER), KNOWN, id="a token without an address or a name changes neither"
        ),
        pytest.param(
            replace(TOKEN, email="old@example.com", issued_at=ISSUED - timedelta(seconds=1)), KNOWN, id="an older token"
        ),
    ],
)
def test_a_newer_token_changes_the_contact(token: Reader, expected: Contact) -> None:
    assert follow(KNOWN, token) == expected


@given(st.permutations(range(5)), st.lists(st.integers(0, 4), max_size=10))
def test_tokens_in_any_order_end_with_what_the_newest_says(order: list[int], again: list[int]) -> None:
    contact = Contact(email=None, name=None, email_verified=False)
    for number in [*order, *again]:
        token = replace(TOKEN, email=f"{number}@example.com", issued_at=ISSUED + timedelta(minutes=number))
        contact = follow(contact, token)
    assert contact.email == "4@example.com"


def test_fields_for_stripe_omit_what_is_unknown_and_shorten_a_long_name() -> None:
    assert stripe_fields(None, None) == {}
    assert stripe_fields("ada@example.com", None) == {"email": "ada@example.com"}
    assert len(stripe_fields(None, "a" * 300)["name"]) == MAX_NAME_LENGTH
