"""The demo's identity provider issues valid tokens and rejects invalid requests, as a real one does."""

import base64
import json
import time
from typing import Any

import httpx2
import pytest
from joserfc import jwt
from joserfc.errors import BadSignatureError
from joserfc.jwk import KeySet

from demo.identity_provider.users import DEMO_PASSWORD
from tests.demo.oidc_client import SignInRequest, redirect_parameters, submit


async def keys(browser: httpx2.AsyncClient, issuer: str) -> KeySet:
    return KeySet.import_key_set((await browser.get(f"{issuer}/jwks")).json())


async def sign_in(browser: httpx2.AsyncClient, request: SignInRequest, email: str = "ada@example.com") -> str:
    """Sign in and return the code."""
    page = await browser.get(request.url())
    parameters = redirect_parameters(await submit(browser, page, email=email, password=DEMO_PASSWORD))
    assert parameters["state"] == request.state
    return parameters["code"]


async def mint(browser: httpx2.AsyncClient, url: str, **wanted: Any) -> str:
    response = await browser.post(f"{url}/_issuer/tokens", json=wanted)
    assert response.status_code == 201, response.text
    return str(response.json()["access_token"])


def decode_unverified(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the header and the claims, without verifying them."""
    header, claims = (json.loads(base64.urlsafe_b64decode(part + "==")) for part in token.split(".")[:2])
    return header, claims


async def test_discovery_lists_all_endpoints_and_only_s256(browser: httpx2.AsyncClient, issuer: str) -> None:
    found = (await browser.get(f"{issuer}/.well-known/openid-configuration")).json()
    assert found["issuer"] == issuer
    assert found["code_challenge_methods_supported"] == ["S256"]
    assert found["authorization_endpoint"] == f"{issuer}/authorize"
    assert (await browser.get(found["jwks_uri"])).json()["keys"]


async def test_access_token_follows_rfc_9068_and_has_the_api_as_audience(
    browser: httpx2.AsyncClient, issuer: str
) -> None:
    request = SignInRequest(issuer)
    tokens = (await request.redeem(browser, await sign_in(browser, request))).json()
    token = jwt.decode(tokens["access_token"], await keys(browser, issuer), ["RS256"])
    assert token.header["typ"] == "at+jwt"
    assert token.header["kid"]
    assert token.claims["iss"] == issuer
    assert token.claims["aud"] == "newsstand"
    assert token.claims["sub"] == "reader-ada"
    assert token.claims["client_id"] == "magazine"
    assert (token.claims["email"], token.claims["name"]) == ("ada@example.com", "Ada Marlowe")
    assert token.claims["roles"] == []
    assert token.claims["jti"]
    assert token.claims["iat"] <= time.time() < token.claims["exp"]


async def test_id_token_has_the_client_as_audience_and_its_nonce(browser: httpx2.AsyncClient, issuer: str) -> None:
    request = SignInRequest(issuer)
    tokens = (await request.redeem(browser, await sign_in(browser, request))).json()
    token = jwt.decode(tokens["id_token"], await keys(browser, issuer), ["RS256"])
    assert token.claims["aud"] == ["magazine"]
    assert token.claims["nonce"] == request.nonce
    assert token.header["typ"] != "at+jwt"


@pytest.mark.parametrize(
    ("email", "roles"),
    [
        pytest.param("ada@example.com", [], id="reader without roles"),
        pytest.param("agent@example.com", ["support"], id="support agent"),
        pytest.param("supervisor@example.com", ["support", "supervisor"], id="supervisor"),
    ],
)
async def test_token_contains_roles(browser: httpx2.AsyncClient, issuer: str, email: str, roles: list[str]) -> None:
    request = SignInRequest(issuer)
    tokens = (await request.redeem(browser, await sign_in(browser, request, email))).json()
    assert decode_unverified(tokens["access_token"])[1]["roles"] == roles


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"code_challenge": None, "code_challenge_method": None}, id="no challenge"),
        pytest.param({"code_challenge": None}, id="a method without a challenge"),
        pytest.param({"code_challenge_method": "plain"}, id="a plain challenge"),
        pytest.param({"code_challenge_method": None}, id="the default method, which is plain"),
        pytest.param({"code_challenge": "short"}, id="a challenge of the wrong length"),
    ],
)
async def test_authorization_request_requires_an_s256_challenge(
    browser: httpx2.AsyncClient, issuer: str, changes: dict[str, str | None]
) -> None:
    request = SignInRequest(issuer)
    parameters = redirect_parameters(await browser.get(request.url(**changes)))
    assert parameters["error"] == "invalid_request"
    assert parameters["state"] == request.state
    assert "code" not in parameters


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"code_verifier": "x" * 43}, id="the wrong verifier"),
        pytest.param({"code_verifier": ""}, id="no verifier"),
        pytest.param({"redirect_uri": "http://127.0.0.1:5555/elsewhere"}, id="another redirect URI"),
        pytest.param({"client_id": "nobody"}, id="another client"),
    ],
)
async def test_code_is_bound_to_its_request(browser: httpx2.AsyncClient, issuer: str, changes: dict[str, str]) -> None:
    request = SignInRequest(issuer)
    code = await sign_in(browser, request)
    rejected = await request.redeem(browser, code, **changes)
    assert rejected.status_code in (400, 401)
    assert "access_token" not in rejected.json()


async def test_code_can_be_used_once_even_with_a_wrong_verifier(browser: httpx2.AsyncClient, issuer: str) -> None:
    request = SignInRequest(issuer)
    spent = await sign_in(browser, request)
    assert (await request.redeem(browser, spent)).status_code == 200
    assert (await request.redeem(browser, spent)).json()["error"] == "invalid_grant"
    guessed = redirect_parameters(await browser.get(request.url()))["code"]  # still signed in, so without the form
    assert (await request.redeem(browser, guessed, code_verifier="x" * 43)).json()["error"] == "invalid_grant"
    assert (await request.redeem(browser, guessed)).json()["error"] == "invalid_grant"


@pytest.mark.parametrize(
    "redirect_uri",
    [
        pytest.param("https://evil.example.com/signed-in", id="another host"),
        pytest.param("http://127.0.0.1:5555/other", id="another path"),
        pytest.param("http://127.0.0.1.evil.example.com/signed-in", id="a host with a matching prefix"),
        pytest.param("http://user@127.0.0.1:5555/signed-in", id="with user information"),
    ],
)
async def test_code_is_never_sent_to_an_unregistered_redirect_uri(
    browser: httpx2.AsyncClient, issuer: str, redirect_uri: str
) -> None:
    rejected = await browser.get(SignInRequest(issuer, redirect_uri).url())
    assert rejected.status_code == 400
    assert "location" not in rejected.headers


async def test_wrong_password_shows_an_error_and_keeps_the_email_address(
    browser: httpx2.AsyncClient, issuer: str
) -> None:
    page = await browser.get(SignInRequest(issuer).url())
    for email in ("ada@example.com", "nobody@example.com"):
        rejected = await submit(browser, page, email=email, password="wrong")
        assert rejected.status_code == 401
        assert "Incorrect email address or password." in rejected.text
        assert f'value="{email}"' in rejected.text


async def test_sign_in_form_requires_a_csrf_token(browser: httpx2.AsyncClient, issuer: str) -> None:
    page = await browser.get(SignInRequest(issuer).url())
    rejected = await submit(browser, page, csrf="guessed", email="ada@example.com", password=DEMO_PASSWORD)
    assert rejected.status_code == 403


async def test_sign_up_creates_a_reader_with_a_new_subject(browser: httpx2.AsyncClient, issuer: str) -> None:
    request = SignInRequest(issuer)
    url = request.url().replace("/authorize?", "/sign-up?")
    fields = {"name": "Nia Fontaine", "email": "Nia@example.com", "password": "long enough"}
    parameters = redirect_parameters(await submit(browser, await browser.get(url), **fields))
    claims = decode_unverified((await request.redeem(browser, parameters["code"])).json()["access_token"])[1]
    assert claims["sub"].startswith("reader-")
    assert (claims["name"], claims["email"], claims["roles"]) == ("Nia Fontaine", "nia@example.com", [])
    again = await submit(browser, await browser.get(url), **fields)
    assert again.status_code == 409
    short = await submit(browser, await browser.get(url), **fields | {"email": "x@example.com", "password": "x"})
    assert short.status_code == 422


async def test_sign_out_ends_the_session_and_returns_to_the_site(browser: httpx2.AsyncClient, issuer: str) -> None:
    request = SignInRequest(issuer)
    await sign_in(browser, request)
    parameters = {"client_id": "magazine", "post_logout_redirect_uri": "http://127.0.0.1:5555/"}
    assert (await browser.get(f"{issuer}/logout", params=parameters)).headers["location"] == "http://127.0.0.1:5555/"
    assert (await browser.get(request.url())).status_code == 200  # the form instead of a code
    elsewhere = parameters | {"post_logout_redirect_uri": "https://evil.example.com/"}
    assert "location" not in (await browser.get(f"{issuer}/logout", params=elsewhere)).headers


async def test_rotation_keeps_publishing_the_old_key_until_it_is_forgotten(
    browser: httpx2.AsyncClient, issuer: str
) -> None:
    old = await mint(browser, issuer, sub="reader-ada")
    await browser.post(f"{issuer}/_issuer/rotate")
    new = await mint(browser, issuer, sub="reader-ada")
    assert decode_unverified(old)[0]["kid"] != decode_unverified(new)[0]["kid"]
    both = await keys(browser, issuer)
    assert jwt.decode(old, both).claims["sub"] == jwt.decode(new, both).claims["sub"] == "reader-ada"
    await browser.post(f"{issuer}/_issuer/rotate?forget=1")
    published = {key["kid"] for key in (await browser.get(f"{issuer}/jwks")).json()["keys"]}
    assert decode_unverified(old)[0]["kid"] not in published
    assert decode_unverified(new)[0]["kid"] not in published


async def test_control_api_mints_valid_and_invalid_tokens(browser: httpx2.AsyncClient, issuer: str) -> None:
    known = await keys(browser, issuer)
    good = jwt.decode(await mint(browser, issuer, sub="staff-agent"), known)
    assert (good.claims["email"], good.claims["roles"]) == ("agent@example.com", ["support"])
    elliptic = jwt.decode(await mint(browser, issuer, sub="x", alg="ES256", roles=["admin"]), known, ["ES256"])
    assert elliptic.claims["roles"] == ["admin"]
    expired = decode_unverified(await mint(browser, issuer, sub="x", expires_in=-60))[1]
    assert expired["iat"] < expired["exp"] < time.time()
    header, claims = decode_unverified(
        await mint(browser, issuer, sub="x", audience="other", issuer="http://other", typ="JWT", kid="unknown")
    )
    assert (claims["aud"], claims["iss"], header["typ"], header["kid"]) == ("other", "http://other", "JWT", "unknown")
    assert "exp" not in decode_unverified(await mint(browser, issuer, sub="x", claims={"exp": None}))[1]
    with pytest.raises(BadSignatureError):
        jwt.decode(await mint(browser, issuer, sub="x", forged=True), known)
    assert (await mint(browser, issuer, sub="x", alg="none")).endswith(".")
    assert decode_unverified(await mint(browser, issuer, sub="x", alg="HS256"))[0]["alg"] == "HS256"


async def test_control_api_is_available_on_loopback_only(browser: httpx2.AsyncClient, issuer: str) -> None:
    headers = {"Host": "evil.example.com"}
    response = await browser.post(f"{issuer}/_issuer/tokens", json={"sub": "x"}, headers=headers)
    assert response.status_code == 403
