"""Who may do what, by role and by scope."""

import pytest

from app.domain.callers import (
    ADMIN,
    CIRCULATION,
    READ_ENTITLEMENTS,
    SUPERVISOR,
    SUPPORT,
    NotAllowed,
    Reader,
    ServerKey,
    UnknownScope,
    known_scopes,
    with_implied_roles,
)


@pytest.mark.parametrize(
    ("given", "has"),
    [
        pytest.param([], set(), id="a reader has no role"),
        pytest.param([SUPPORT], {SUPPORT}, id="support is support"),
        pytest.param([SUPERVISOR], {SUPERVISOR, SUPPORT}, id="a supervisor does support too"),
        pytest.param([CIRCULATION], {CIRCULATION}, id="circulation touches no money"),
        pytest.param([ADMIN], {ADMIN, SUPERVISOR, SUPPORT, CIRCULATION}, id="an admin may do all"),
        pytest.param(["offline_access", "Admin", ""], set(), id="what the provider calls a role otherwise is none"),
    ],
)
def test_a_role_brings_those_that_it_implies(given: list[str], has: set[str]) -> None:
    assert with_implied_roles(given) == has


def test_who_lacks_the_role_is_told_which_one_is_needed() -> None:
    agent = Reader(sub="staff-agent", roles=with_implied_roles([SUPPORT]))
    agent.require(SUPPORT)
    with pytest.raises(NotAllowed) as refused:
        agent.require(SUPERVISOR)
    assert refused.value.facts == {"role": "supervisor"}


def test_a_key_opens_only_what_it_is_for() -> None:
    ServerKey(id="key_1", scopes=frozenset({READ_ENTITLEMENTS})).require(READ_ENTITLEMENTS)
    with pytest.raises(NotAllowed) as refused:
        ServerKey(id="key_2").require(READ_ENTITLEMENTS)
    assert refused.value.facts == {"scope": "entitlements:read"}


def test_the_audit_log_tells_readers_staff_and_servers_apart() -> None:
    assert Reader(sub="user-1").actor == "reader:user-1"
    assert Reader(sub="user-2", roles=frozenset({SUPPORT})).actor == "staff:user-2"
    assert ServerKey(id="key_1").actor == "key:key_1"


def test_a_key_is_for_known_scopes_each_once() -> None:
    assert known_scopes([READ_ENTITLEMENTS, READ_ENTITLEMENTS]) == (READ_ENTITLEMENTS,)


@pytest.mark.parametrize("scopes", [[], ["refunds:write"], [READ_ENTITLEMENTS, "*"]])
def test_a_key_for_nothing_or_for_something_unknown_is_not_made(scopes: list[str]) -> None:
    with pytest.raises(UnknownScope, match="entitlements:read"):
        known_scopes(scopes)
