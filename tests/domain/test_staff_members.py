"""What people call an actor of the audit log."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from app.domain.staff_members import StaffMember, actor_name

NOW = datetime(2027, 3, 1, tzinfo=UTC)

NAMES = {"user-7": "Robin Vance", "auth0|x:1": "Sam Iyer"}


@pytest.mark.parametrize(
    ("actor", "name"),
    [
        pytest.param("staff:user-7", "Robin Vance", id="staff by name"),
        pytest.param("staff:auth0|x:1", "Sam Iyer", id="a sub with a colon"),
        pytest.param("staff:user-8", "user-8", id="staff who never signed in to the console"),
        pytest.param("key:key_1", "API key key_1", id="a server"),
        pytest.param("operator:ops", "Operator ops", id="whoever ran a command"),
        pytest.param("reader:rdr_1", "Reader", id="a reader"),
        pytest.param("policy", "Policy", id="a policy"),
        pytest.param("stripe", "Stripe", id="Stripe"),
        pytest.param("staff:", "staff:", id="nobody"),
    ],
)
def test_an_actor_has_a_name(actor: str, name: str) -> None:
    assert actor_name(actor, NAMES) == name


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        pytest.param("vance", True, id="a part of the name"),
        pytest.param("Robin@example.com", True, id="the email address, in any case"),
        pytest.param("robin@", True, id="its beginning"),
        pytest.param("user-7", True, id="the ID"),
        pytest.param("user", False, id="a part of the ID"),
        pytest.param("example.com", False, id="the end of the email address"),
        pytest.param(" ", False, id="nothing"),
    ],
)
def test_a_text_means_a_member_of_staff(text: str, *, meant: bool) -> None:
    robin = StaffMember(
        sub="user-7", name="Robin Vance", email="robin@example.com", roles=frozenset({"support"}), seen_at=NOW
    )
    assert robin.is_meant_by(text) is meant
    assert replace(robin, email=None).is_meant_by(text) is (meant and "@" not in text)
