"""An address that only looks like another one, or becomes it in lowercase, claims nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.db import imports
from app.db.engine.session import Sessions
from app.domain.customers import StripeCustomerState
from app.email_addresses import canonical, spellings

KELVIN, LONG_S, CYRILLIC_A, DOTLESS_I, FULLWIDTH_A = "\u212a", "\u017f", "\u0430", "\u0131", "\uff41"


@pytest.mark.parametrize(
    "address",
    [
        pytest.param(f"{KELVIN}im@example.com", id="the Kelvin sign for k"),
        pytest.param(f"{LONG_S}am@example.com", id="the long s"),
        pytest.param(f"{CYRILLIC_A}da@example.com", id="the Cyrillic a"),
        pytest.param(f"k{DOTLESS_I}m@example.com", id="the dotless i"),
        pytest.param(f"{FULLWIDTH_A}da@example.com", id="the fullwidth a"),
        pytest.param("ad\u0061\u0301@example.com", id="a combining accent"),
        pytest.param("ada\u200b@example.com", id="a zero-width space"),
        pytest.param("ada\x00@example.com", id="NUL"),
        pytest.param(" ada@example.com", id="a space"),
        pytest.param('"ada"@example.com', id="quotes"),
        pytest.param("ada@", id="no domain"),
        pytest.param("ada", id="no at sign"),
        pytest.param("ada@example..com", id="an empty label"),
        pytest.param("ada@exa mple.com", id="a space in the domain"),
        pytest.param(f"{'a' * 65}@example.com", id="a local part that is too long"),
        pytest.param(None, id="none"),
    ],
)
def test_an_address_that_cannot_be_compared_is_never_the_same(address: str | None) -> None:
    assert canonical(address) is None


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Ada@Example.COM", "ada@example.com", True),
        ("ada@bücher.example", "ada@xn--bcher-kva.example", True),
        ("ada@BÜCHER.example", "ada@bücher.example", True),
        (f"ada@{KELVIN}iosk.example", "ada@kiosk.example", True),  # the DNS finds the same domain
        (f"ada@ex{CYRILLIC_A}mple.com", "ada@example.com", False),
        ("ada+x@example.com", "ada@example.com", False),
        ("a.da@example.com", "ada@example.com", False),
    ],
)
def test_domains_are_compared_as_the_dns_does(one: str, other: str, *, same: bool) -> None:
    assert (canonical(one) == canonical(other)) is same


@given(st.text(max_size=12), st.sampled_from(["kim", "ada.sky", "s.kiss"]))
def test_only_ascii_letters_in_another_case_are_the_same_local_part(found: str, local: str) -> None:
    looks_same = canonical(f"{found}@example.com") == f"{local}@example.com"
    assert looks_same is (found.isascii() and found.lower() == local)


@given(st.emails())
def test_every_spelling_of_an_address_is_the_same_address(address: str) -> None:
    assert {canonical(one) for one in spellings(address)} <= {canonical(address)}


async def test_a_lookalike_address_claims_no_imported_subscriber(sessions: Sessions) -> None:
    stored = {"cus_1": "Kim@Example.com", "cus_2": f"{KELVIN}ay@example.com", "cus_3": "ada@xn--bcher-kva.example"}
    async with sessions.begin() as session:
        for customer_id, email in stored.items():
            customer = StripeCustomerState(id=customer_id, email=email, name=None, metadata={}, deleted=False)
            await imports.add_subscriber(session, customer, sub=f"unclaimed:{customer_id}")
        claims = {
            address: len(await imports.claimable(session, address))
            for address in (
                "kim@example.com",
                f"{KELVIN}im@example.com",
                f"{KELVIN}ay@example.com",
                "kay@example.com",
                "ada@bücher.example",
            )
        }

    assert list(claims.values()) == [1, 0, 0, 0, 1]
