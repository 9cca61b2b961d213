"""What people call an actor of the audit log."""

import pytest

from app.domain.staff_members import actor_name

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
