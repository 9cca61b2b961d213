"""Permissions by role and scope."""

import pytest

from app.domain.callers import (
    ApiScope,
    NotAllowed,
    Reader,
    Role,
    ServerKey,
    UnknownScope,
    known_scopes,
    with_implied_roles,
)


@pytest.mark.parametrize(
    ("roles", "has"),
    [
        pytest.param([], set(), id="reader: none"),
        pytest.param([Role.SUPPORT], {Role.SUPPORT}, id="support"),
        pytest.param([Role.SUPERVISOR], {Role.SUPERVISOR, Role.SUPPORT}, id="supervisor includes support"),
        pytest.param([Role.CIRCULATION], {Role.CIRCULATION}, id="circulation excludes support"),
        pytest.param([Role.PRIVACY], {Role.PRIVACY}, id="privacy excludes support"),
        pytest.param([Role.ADMIN], set(Role), id="admin includes all"),
        pytest.param(["offline_access", "Admin", ""], set(), id="unknown role: none"),
    ],
)
def test_a_role_includes_the_roles_it_implies(roles: list[str], has: set[str]) -> None:
    assert with_implied_roles(roles) == has


def test_a_missing_role_is_named() -> None:
    agent = Reader(sub="staff-agent", roles=with_implied_roles([Role.SUPPORT]))
    agent.require(Role.SUPPORT)
    with pytest.raises(NotAllowed) as refused:
        agent.require(Role.SUPERVISOR)
    assert refused.value.facts == {"role": "supervisor"}


def test_a_key_allows_only_its_scopes() -> None:
    ServerKey(id="key_1", scopes=frozenset({ApiScope.READ_ENTITLEMENTS})).require(ApiScope.READ_ENTITLEMENTS)
    with pytest.raises(NotAllowed) as refused:
        ServerKey(id="key_2").require(ApiScope.READ_ENTITLEMENTS)
    assert refused.value.facts == {"scope": "entitlements:read"}


def test_the_audit_log_distinguishes_readers_staff_and_servers() -> None:
    assert Reader(sub="user-1").actor == "reader:user-1"
    assert Reader(sub="user-2", roles=frozenset({Role.SUPPORT})).actor == "staff:user-2"
    assert ServerKey(id="key_1").actor == "key:key_1"


def test_a_key_has_distinct_known_scopes() -> None:
    assert known_scopes([ApiScope.READ_ENTITLEMENTS, ApiScope.READ_ENTITLEMENTS]) == (ApiScope.READ_ENTITLEMENTS,)


@pytest.mark.parametrize("scopes", [[], ["refunds:write"], [ApiScope.READ_ENTITLEMENTS, "*"]])
def test_a_key_without_scopes_or_with_an_unknown_one_is_rejected(scopes: list[str]) -> None:
    with pytest.raises(UnknownScope, match="entitlements:read"):
        known_scopes(scopes)
