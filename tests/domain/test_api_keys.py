"""The form of API keys, and how long they live."""

import zlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.api_keys import (
    BASE62,
    RANDOM_LENGTH,
    ApiKey,
    InvalidKeyLife,
    KeyReplaced,
    checksum,
    compose,
    end_of_overlap,
    expiry,
    is_well_formed,
    renewed_life,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
KEY = ApiKey(
    id="key_1",
    name="the site",
    scopes=("entitlements:read",),
    created_at=NOW - 100 * DAY,
    created_by="staff:alex",
    expires_at=NOW + 265 * DAY,
    last_used_at=None,
    replaced_by=None,
    revoked_at=None,
)
random_parts = st.text(alphabet=BASE62, min_size=RANDOM_LENGTH, max_size=RANDOM_LENGTH)


def test_form_of_a_key_is_as_documented() -> None:
    key = compose("0" * RANDOM_LENGTH)
    assert key[:40] == "nsk_" + "0" * 36
    assert len(key) == 46
    number = 0
    for character in key[-6:]:
        number = number * 62 + BASE62.index(character)
    assert number == zlib.crc32(key[:40].encode())


@given(random_parts, st.integers(0, 45), st.sampled_from(BASE62))
def test_changed_character_is_detected(part: str, place: int, other: str) -> None:
    key = compose(part)
    assert is_well_formed(key)
    changed = key[:place] + other + key[place + 1 :]
    assert is_well_formed(changed) is (changed == key)


@given(st.text(max_size=60))
def test_any_text_can_be_tested(text: str) -> None:
    assert not is_well_formed(text)
    assert len(checksum(text.encode("utf-8", "replace").decode())) == 6


def test_keys_of_the_older_form_are_well_formed() -> None:
    assert is_well_formed("nsk_" + "a-_Z" * 10 + "abc")
    assert not is_well_formed("nsk_" + "a-_Z" * 10 + "ab")
    assert not is_well_formed("nsk_" + "a" * 42 + "\n")


def test_new_keys_expire() -> None:
    assert expiry(365 * DAY, now=NOW) == NOW + 365 * DAY
    assert expiry(None, now=NOW) is None
    for life in (timedelta(0), -DAY, timedelta(days=4000)):
        with pytest.raises(InvalidKeyLife):
            expiry(life, now=NOW)


def test_rotated_key_lives_for_the_overlap_but_no_longer_than_before() -> None:
    assert end_of_overlap(KEY, 7 * DAY, now=NOW) == NOW + 7 * DAY
    assert end_of_overlap(replace(KEY, expires_at=NOW + DAY), 7 * DAY, now=NOW) == NOW + DAY
    assert end_of_overlap(replace(KEY, expires_at=None), timedelta(0), now=NOW) == NOW
    assert renewed_life(KEY) == 365 * DAY
    assert renewed_life(replace(KEY, expires_at=None)) is None
    with pytest.raises(KeyReplaced):
        end_of_overlap(replace(KEY, replaced_by="key_2"), DAY, now=NOW)
    for overlap in (-DAY, 91 * DAY):
        with pytest.raises(InvalidKeyLife):
            end_of_overlap(KEY, overlap, now=NOW)


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        pytest.param({}, "active", id="in use"),
        pytest.param({"expires_at": None}, "active", id="without end"),
        pytest.param({"expires_at": NOW}, "expired", id="expires now"),
        pytest.param({"replaced_by": "key_2"}, "replaced", id="rotated, in the overlap"),
        pytest.param({"replaced_by": "key_2", "expires_at": NOW}, "expired", id="rotated, after the overlap"),
        pytest.param({"revoked_at": NOW}, "revoked", id="revoked"),
    ],
)
def test_state_of_a_key(changes: dict[str, object], state: str) -> None:
    assert replace(KEY, **changes).state(now=NOW) == state  # type: ignore[arg-type]
