"""Signing keys: which one signs, which are published, and revocations."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from app import settings
from app.domain.entitlements import AccessPeriod, EntitlementSet, is_reduced
from app.domain.signing_keys import LONGEST_LIFE, SKEW, SigningKey, signer

NOW = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def key(name: str, *, begins: timedelta, ends: timedelta | None = None, withdrawn: bool = False) -> SigningKey:
    until = NOW + ends if ends is not None else None
    at = NOW if withdrawn else None
    return SigningKey(id=name, public={}, signs_from=NOW + begins, signs_until=until, withdrawn_at=at)


def test_keys_are_published_before_they_sign_and_until_their_tokens_expire() -> None:
    old, new = key("old", begins=-HOUR, ends=HOUR), key("new", begins=HOUR)

    assert signer([old, new], now=NOW) == old
    assert new.is_published(NOW)
    assert signer([old, new], now=NOW + HOUR) == new
    assert old.is_published(NOW + HOUR + LONGEST_LIFE)
    assert not old.is_published(NOW + HOUR + LONGEST_LIFE + SKEW)


def test_a_withdrawn_key_is_no_longer_valid() -> None:
    lost = key("lost", begins=-HOUR, withdrawn=True)

    assert signer([lost], now=NOW) is None
    assert not lost.is_published(NOW)


def test_a_token_lifetime_cannot_exceed_the_publication_of_keys() -> None:
    assert settings.LONGEST_LIFE == LONGEST_LIFE


hours = st.integers(0, 12).map(lambda n: NOW + n * HOUR)
periods = st.lists(
    st.tuples(hours, hours).map(lambda pair: AccessPeriod(min(pair), max(pair), "paid_term")), max_size=4
)


@given(before=periods, after=periods, since=hours, until=hours)
def test_access_shrinks_only_if_some_time_of_access_is_lost(
    before: list[AccessPeriod], after: list[AccessPeriod], since: datetime, until: datetime
) -> None:
    moments = [NOW + n * HOUR for n in range(13) if since <= NOW + n * HOUR < until]
    lost = any(any(s.covers(at) for s in before) and not any(s.covers(at) for s in after) for at in moments)

    assert is_reduced(_access(before), _access(after), since=since, until=until) == lost


def _access(held: list[AccessPeriod]) -> EntitlementSet:
    return EntitlementSet(features={"archive": tuple(held)})
