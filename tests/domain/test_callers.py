"""Permissions by role and scope."""

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
        pytest.param([], set(), id="reader: none"),
        pytest.param([SUPPORT], {SUPPORT}, id="support"),
        pytest.param([SUPERVISOR], {SUPERVISOR, SUPPORT}, id="supervisor includes support"),
        pytest.param([CIRCULATION], {CIRCULATION}, id="circulation excludes support"),
        pytest.param([ADMIN], {ADMIN, SUPERVISOR, SUPPORT, CIRCULATION}, id="admin includes all"),
        pytest.param(["offline_access", "Admin", ""], set(), id="unknown role: none"),
    ],
)
def test_a_role_includes_the_roles_it_implies(given: list[str], has: set[str]) -> None:
    assert with_implied_roles(given) == has


def test_a_missing_role_is_named() -> None:
    agent = Reader(sub="staff-agent", roles=with_implied_roles([SUPPORT]))
    agent.require(SUPPORT)
    with pytest.raises(NotAllowed) as refused:
        agent.require(SUPERVISOR)
    assert refused.value.facts == {"role": "supervisor"}


def test_a_key_allows_only_its_scopes() -> None:
    ServerKey(id="key_1", scopes=frozenset({READ_ENTITLEMENTS})).require(READ_ENTITLEMENTS)
    with pytest.raises(NotAllowed) as refused:
        ServerKey(id="key_2").require(READ_ENTITLEMENTS)
    assert refused.value.facts == {"scope": "entitlements:read"}


def test_the_audit_log_distinguishes_readers_staff_and_servers() -> None:
    assert Reader(sub="user-1").actor == "reader:user-1"
    assert Reader(sub="user-2", roles=frozenset({SUPPORT})).actor == "staff:user-2"
    assert ServerKey(id="key_1").actor == "key:key_1"


def test_a_key_has_distinct_known_scopes() -> None:
    assert known_scopes([READ_ENTITLEMENTS, READ_ENTITLEMENTS]) == (READ_ENTITLEMENTS,)


@pytest.mark.parametrize("scopes", [[], ["refunds:write"], [READ_ENTITLEMENTS, "*"]])
def test_a_key_without_scopes_or_with_an_unknown_one_is_rejected(scopes: list[str]) -> None:
    with pytest.raises(UnknownScope, match="entitlements:read"):
        known_scopes(scopes)
