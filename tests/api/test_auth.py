"""Authentication: tokens of the identity provider, its outages, and API keys."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.api.auth import Authenticator, ExpiringCache
from app.db.engine.pool import Pool
from app.db.engine.session import Sessions
from app.domain.callers import ApiScope, IssuerUnavailable, NotAuthenticated
from tests.support.authentication import AdjustableClock, create_api_key, make_authenticator, make_request
from tests.support.contexts import database_context
from tests.support.issuer import Issuer, running_issuer
from tests.support.stub_issuer import StubIssuer, new_key, public_jwk, stub_issuer, unsigned


@pytest.fixture
def clock() -> AdjustableClock:
    return AdjustableClock()


@pytest.fixture
async def auth(issuer: Issuer, clock: AdjustableClock) -> AsyncIterator[Authenticator]:
    made = make_authenticator(issuer.url, clock)
    yield made
    await made.close()


@pytest.fixture
async def provider() -> AsyncIterator[StubIssuer]:
    async with stub_issuer() as running:
        yield running


# --- access tokens


async def test_a_valid_token_identifies_its_reader(auth: Authenticator, issuer: Issuer) -> None:
    asked = make_request(f"Bearer {issuer.token('reader-ada')}")
    reader = await auth.reader(asked)
    assert (reader.sub, reader.email, reader.name) == ("reader-ada", "ada@example.com", "Ada Marlowe")
    assert reader.roles == frozenset()
    assert asked.scope["caller"] == "reader"


async def test_staff_have_their_roles_and_the_implied_ones(auth: Authenticator, issuer: Issuer) -> None:
    asked = make_request(f"bearer {issuer.token('x', roles=['supervisor', 'default-roles'])}")
    assert (await auth.reader(asked)).roles == {"supervisor", "support"}
    assert asked.scope["caller"] == "staff"


async def test_a_token_signed_with_an_elliptic_curve_key_is_accepted(auth: Authenticator, issuer: Issuer) -> None:
    assert (await auth.reader_of(issuer.token("user-1", alg="ES256"))).sub == "user-1"


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        pytest.param({"alg": "none"}, "algorithm", id="unsigned"),
        pytest.param({"alg": "HS256"}, "algorithm", id="signed with the public key as a shared secret"),
        pytest.param({"forged": True}, "signature", id="signed with another key under the issuer's key ID"),
        pytest.param({"audience": "another-api"}, "audience", id="for another audience"),
        pytest.param({"audience": []}, "lacks the claim aud", id="for no audience"),
        pytest.param({"issuer": "http://evil.example"}, "issuer", id="of another issuer"),
        pytest.param({"expires_in": -31}, "expired", id="expired"),
        pytest.param({"typ": "JWT"}, "at\\+jwt", id="ID token"),
        pytest.param({"kid": "nobody-has-it"}, "unknown key", id="signed with an unknown key"),
        pytest.param({"claims": {"exp": None}}, "lacks the claim exp", id="without exp"),
        pytest.param({"claims": {"iat": None}}, "lacks the claim iat", id="without iat"),
        pytest.param({"claims": {"sub": None}}, "lacks the claim sub", id="without sub"),
        pytest.param({"claims": {"sub": ""}}, "sub", id="empty sub"),
        pytest.param({"claims": {"sub": 7}}, "malformed", id="number as sub"),
        pytest.param({"claims": {"sub": "x" * 256}}, "sub", id="sub too long"),
        pytest.param({"claims": {"sub": "a\x00b"}}, "sub", id="sub with a NUL character"),
        pytest.param({"claims": {"exp": "soon"}}, "exp is not a time", id="string as exp"),
        pytest.param({"claims": {"exp": True}}, "exp is not a time", id="boolean as exp"),
        pytest.param({"claims": {"exp": 10**400}}, "exp is not a time", id="exp out of range"),
        pytest.param({"claims": {"exp": float("nan")}}, "exp is not a time", id="NaN as exp"),
        pytest.param({"claims": {"nbf": int(time.time()) + 86_400}}, "not valid yet", id="not valid yet"),
        pytest.param({"claims": {"iat": int(time.time()) + 86_400}}, "not valid yet", id="issued in the future"),
    ],
)
async def test_an_invalid_token_is_rejected(
    auth: Authenticator, issuer: Issuer, asked: dict[str, Any], why: str
) -> None:
    token = issuer.token("user-1", **asked)
    with pytest.raises(NotAuthenticated, match=why) as refused:
        await auth.reader_of(token)
    assert token[:20] not in str(refused.value)


@pytest.mark.parametrize("claims", [{"iat": int(time.time()) + 20}, {"nbf": int(time.time()) + 20}])
async def test_clocks_may_differ_by_thirty_seconds(auth: Authenticator, issuer: Issuer, claims: dict[str, int]) -> None:
    assert (await auth.reader_of(issuer.token("user-1", claims=claims))).sub == "user-1"
    assert (await auth.reader_of(issuer.token("user-1", expires_in=-20))).sub == "user-1"


@pytest.mark.parametrize(
    "authorization",
    [
        pytest.param([], id="no header"),
        pytest.param([""], id="empty header"),
        pytest.param(["Bearer"], id="scheme only"),
        pytest.param(["Basic dXNlcjpwdw=="], id="Basic authentication"),
        pytest.param(["Bearer a.b.c", "Bearer d.e.f"], id="two headers"),
        pytest.param(["Bearer caf\xe9"], id="not ASCII"),
        pytest.param(["Bearer " + "." * 60], id="dots"),
        pytest.param(["Bearer e30.e30.e30"], id="empty objects"),
        pytest.param(["Bearer W10.e30.e30"], id="list as token header"),
        pytest.param(["Bearer " + "x" * 8193], id="token too long"),
        pytest.param(["Bearer nsk_" + "x" * 43], id="API key"),
    ],
)
async def test_a_malformed_authorization_header_is_rejected(auth: Authenticator, authorization: list[str]) -> None:
    with pytest.raises(NotAuthenticated):
        await auth.reader(make_request(*authorization))


async def test_a_cached_token_expires_on_time(auth: Authenticator, issuer: Issuer, clock: AdjustableClock) -> None:
    token = issuer.token("user-1", expires_in=600)
    first = await auth.reader_of(token)
    assert await auth.reader_of(token) is first  # served from the cache
    clock.ahead = timedelta(seconds=570)
    assert await auth.reader_of(token) is first
    clock.ahead = timedelta(seconds=631)
    with pytest.raises(NotAuthenticated, match="expired"):
        await auth.reader_of(token)


async def test_the_issuers_new_keys_are_fetched(auth: Authenticator, issuer: Issuer, clock: AdjustableClock) -> None:
    old = issuer.token("user-1")
    await auth.reader_of(old)
    issuer.rotate()
    clock.ahead = timedelta(seconds=11)  # after the cool-down between two fetches
    assert (await auth.reader_of(issuer.token("user-2"))).sub == "user-2"
    assert (await auth.reader_of(old)).sub == "user-1"


async def test_a_cached_token_of_a_withdrawn_key_is_rejected(clock: AdjustableClock) -> None:
    async with stub_issuer() as provider:
        old, new = new_key("ES256"), new_key("ES256")
        provider.keys = [public_jwk(old, kid="old")]
        auth = make_authenticator(provider.url, clock)
        token = provider.token(old, "ES256", kid="old")
        await auth.reader_of(token)
        provider.keys = [public_jwk(new, kid="new")]
        clock.ahead = timedelta(minutes=6)
        await auth.reader_of(token)  # triggers a fetch of the keys in the background
        await auth._issuer_keys._refresh  # type: ignore[misc]
        with pytest.raises(NotAuthenticated, match="unknown key"):
            await auth.reader_of(token)
        await auth.close()


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256", "ES384", "EdDSA"])
async def test_each_accepted_algorithm_requires_its_type_of_key(
    provider: StubIssuer, clock: AdjustableClock, algorithm: str
) -> None:
    keys_of = {name: new_key(name) for name in ("RS256", "ES256", "ES384", "EdDSA")}
    provider.keys = [public_jwk(key, kid=name) for name, key in keys_of.items()]
    kid = "RS256" if algorithm == "PS256" else algorithm
    auth = make_authenticator(provider.url, clock)
    token = provider.token(keys_of[kid], algorithm, kid=kid)
    assert (await auth.reader_of(token)).sub == "user-1"
    other = "ES256" if kid != "ES256" else "RS256"
    with pytest.raises(NotAuthenticated):
        await auth.reader_of(unsigned(token, alg=algorithm, typ="at+jwt", kid=other))


async def test_a_key_is_used_only_for_its_published_purpose(provider: StubIssuer, clock: AdjustableClock) -> None:
    key = new_key("RS256")
    for members in ({"alg": "RS512"}, {"use": "enc"}):
        provider.keys = [public_jwk(key, kid="k", **members), public_jwk(new_key("ES256"), kid="other")]
        auth = make_authenticator(provider.url, clock)
        with pytest.raises(NotAuthenticated, match="unknown key"):
            await auth.reader_of(provider.token(key, "RS256", kid="k"))


async def test_a_token_without_a_key_id_is_accepted_while_there_is_only_one_key(
    provider: StubIssuer, clock: AdjustableClock
) -> None:
    key = new_key("ES256")
    provider.keys = [public_jwk(key)]
    assert (await make_authenticator(provider.url, clock).reader_of(provider.token(key, "ES256"))).sub == "user-1"
    provider.keys = [public_jwk(key, kid="a"), public_jwk(new_key("ES256"), kid="b")]
    with pytest.raises(NotAuthenticated):
        await make_authenticator(provider.url, clock).reader_of(provider.token(key, "ES256"))


@pytest.mark.parametrize(
    ("claim", "claims", "roles"),
    [
        pytest.param("realm_access.roles", {"realm_access": {"roles": ["support"]}}, {"support"}, id="nested claim"),
        pytest.param(
            "https://shop.example/roles",
            {"https://shop.example/roles": ["support"]},
            {"support"},
            id="claim name with dots",
        ),
        pytest.param(
            "roles", {"roles": "support circulation"}, {"support", "circulation"}, id="space-separated string"
        ),
        pytest.param("roles", {"roles": [7, None, "support"]}, {"support"}, id="list with other values"),
        pytest.param("roles", {"roles": {"support": True}}, set(), id="object instead of a list"),
        pytest.param("a.b.c", {"a": {"b": 1}}, set(), id="nowhere"),
    ],
)
async def test_roles_are_read_from_the_configured_claim(
    provider: StubIssuer, clock: AdjustableClock, claim: str, claims: dict[str, Any], roles: set[str]
) -> None:
    key = new_key("ES256")
    provider.keys = [public_jwk(key, kid="k")]
    auth = make_authenticator(provider.url, clock, roles_claim=claim)
    assert (await auth.reader_of(provider.token(key, "ES256", kid="k", **claims))).roles == roles


# --- faults of the identity provider


async def test_many_unknown_key_ids_cause_few_requests_to_the_issuer(
    provider: StubIssuer, clock: AdjustableClock
) -> None:
    key = new_key("ES256")
    provider.keys = [public_jwk(key, kid="known")]
    auth = make_authenticator(provider.url, clock, cooldown=timedelta(seconds=10))
    good = provider.token(key, "ES256", kid="known")
    await auth.reader_of(good)
    for n in range(50):
        with pytest.raises(NotAuthenticated):
            await auth.reader_of(provider.token(key, "ES256", kid=f"made-up-{n}"))
    assert provider.asked == 1
    clock.ahead = timedelta(seconds=11)
    for n in range(50):
        with pytest.raises(NotAuthenticated):
            await auth.reader_of(provider.token(key, "ES256", kid=f"made-up-{n}"))
    assert provider.asked == 2
    assert (await auth.reader_of(good)).sub == "user-1"


async def test_fetched_keys_work_for_hours_while_the_issuer_is_down(clock: AdjustableClock) -> None:
    with running_issuer() as mortal:
        auth = make_authenticator(mortal.url, clock)
        await auth.reader_of(mortal.token("user-1"))
        later = mortal.token("user-2", expires_in=10 * 3600)
        newest = mortal.token("user-3", kid="rotated-meanwhile")
        mortal.stop()
        clock.ahead = timedelta(hours=9)
        assert (await auth.reader_of(later)).sub == "user-2"
        with pytest.raises(IssuerUnavailable):  # the key may or may not be the issuer's
            await auth.reader_of(newest)
        await auth.close()


async def test_a_never_reached_issuer_gives_503_rather_than_401(provider: StubIssuer, clock: AdjustableClock) -> None:
    key = new_key("ES256")
    provider.keys = [public_jwk(key, kid="k")]
    provider.status = 500
    auth = make_authenticator(provider.url, clock)
    token = provider.token(key, "ES256", kid="k")
    with pytest.raises(IssuerUnavailable):
        await auth.reader_of(token)
    provider.status = 200
    clock.ahead = timedelta(seconds=2)
    assert (await auth.reader_of(token)).sub == "user-1"


@pytest.mark.parametrize(
    "discovery",
    [
        pytest.param({"issuer": "http://another.example"}, id="another issuer name"),
        pytest.param({"jwks_uri": "file:///etc/passwd"}, id="file URL of the keys"),
        pytest.param({"jwks_uri": None}, id="no URL of the keys"),
    ],
)
async def test_an_invalid_discovery_document_is_rejected(
    provider: StubIssuer, clock: AdjustableClock, discovery: dict[str, Any]
) -> None:
    key = new_key("ES256")
    provider.keys = [public_jwk(key, kid="k")]
    provider.discovery = discovery
    with pytest.raises(IssuerUnavailable):
        await make_authenticator(provider.url, clock).reader_of(provider.token(key, "ES256", kid="k"))


async def test_an_issuer_name_with_a_trailing_slash_is_accepted(provider: StubIssuer, clock: AdjustableClock) -> None:
    key = new_key("ES256")
    provider.keys = [public_jwk(key, kid="k")]
    provider.discovery = {"issuer": f"{provider.url}/"}
    auth = make_authenticator(provider.url, clock)
    assert (await auth.reader_of(provider.token(key, "ES256", kid="k", iss=f"{provider.url}/"))).sub == "user-1"
    with pytest.raises(NotAuthenticated, match="another issuer"):
        await auth.reader_of(provider.token(key, "ES256", kid="k"))


def test_the_token_cache_is_bounded_and_keeps_recently_used_tokens() -> None:
    now = datetime(2027, 3, 1, tzinfo=UTC)
    cache: ExpiringCache[int] = ExpiringCache(2)
    for n in (1, 2):
        cache.put(str(n), n, now=now, until=now + timedelta(minutes=1))
    assert cache.get("1", now=now) == 1
    cache.put("3", 3, now=now, until=now + timedelta(minutes=1))
    assert [cache.get(key, now=now) for key in "123"] == [1, None, 3]
    assert cache.get("1", now=now - timedelta(seconds=1)) is None  # after the clock was set back


# --- API keys


async def test_concurrent_requests_with_one_api_key_share_one_query(sessions: Sessions, pool: Pool) -> None:
    clock = AdjustableClock(stopped_at=datetime.now(UTC))  # a key is cached for a second
    key = await create_api_key(database_context(sessions), ApiScope.READ_ENTITLEMENTS)
    auth = make_authenticator("http://127.0.0.1:9", clock, sessions, pool)
    asked: list[str] = []
    async with AsyncExitStack() as stack:
        for _ in range(pool.get_max_size()):
            connection = await stack.enter_async_context(pool.acquire())
            connection.add_query_logger(lambda query: asked.append(query.query))

    async def authenticate_once() -> str:
        return (await auth.server(make_request(f"Bearer {key}"), ApiScope.READ_ENTITLEMENTS)).id

    leaves, *stay = [asyncio.create_task(authenticate_once()) for _ in range(32)]
    await asyncio.sleep(0)  # all requests have started
    leaves.cancel()
    (site,) = set(await asyncio.gather(*stay))
    assert len(asked) == 1
    assert await authenticate_once() == site
    assert len(asked) == 1, "the key is cached for a second"
    clock.ahead += timedelta(seconds=1)
    await asyncio.gather(authenticate_once(), authenticate_once())
    assert len(asked) == 2
    await auth.close()
