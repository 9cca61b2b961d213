"""The demo's identity provider gives what a real one gives, and refuses what a real one refuses."""

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
from tests.demo.oidc_client import Pkce, answer, submit


async def keys(browser: httpx2.AsyncClient, issuer: str) -> KeySet:
    return KeySet.import_key_set((await browser.get(f"{issuer}/jwks")).json())


async def sign_in(browser: httpx2.AsyncClient, request: Pkce, email: str = "ada@example.com") -> str:
    """Sign in and return the code."""
    page = await browser.get(request.url())
    back = answer(await submit(browser, page, email=email, password=DEMO_PASSWORD))
    assert back["state"] == request.state
    return back["code"]


async def mint(browser: httpx2.AsyncClient, url: str, **asked: Any) -> str:
    response = await browser.post(f"{url}/_issuer/tokens", json=asked)
    assert response.status_code == 201, response.text
    return str(response.json()["access_token"])


def opened(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return header and claims, unverified."""
    header, claims = (json.loads(base64.urlsafe_b64decode(part + "==")) for part in token.split(".")[:2])
    return header, claims


async def test_discovery_names_every_endpoint_and_only_s256(browser: httpx2.AsyncClient, issuer: str) -> None:
    found = (await browser.get(f"{issuer}/.well-known/openid-configuration")).json()
    assert found["issuer"] == issuer
    assert found["code_challenge_methods_supported"] == ["S256"]
    assert found["authorization_endpoint"] == f"{issuer}/authorize"
    assert (await browser.get(found["jwks_uri"])).json()["keys"]


async def test_an_access_token_is_of_rfc_9068_and_for_the_api(browser: httpx2.AsyncClient, issuer: str) -> None:
    request = Pkce(issuer)
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


async def test_an_id_token_is_for_the_client_and_carries_its_nonce(browser: httpx2.AsyncClient, issuer: str) -> None:
    request = Pkce(issuer)
    tokens = (await request.redeem(browser, await sign_in(browser, request))).json()
    token = jwt.decode(tokens["id_token"], await keys(browser, issuer), ["RS256"])
    assert token.claims["aud"] == ["magazine"]
    assert token.claims["nonce"] == request.nonce
    assert token.header["typ"] != "at+jwt"


@pytest.mark.parametrize(
    ("email", "roles"),
    [
        pytest.param("ada@example.com", [], id="a reader has none"),
        pytest.param("agent@example.com", ["support"], id="an agent supports"),
        pytest.param("supervisor@example.com", ["support", "supervisor"], id="a supervisor supports too"),
    ],
)
async def test_roles_are_in_the_token(browser: httpx2.AsyncClient, issuer: str, email: str, roles: list[str]) -> None:
    request = Pkce(issuer)
    tokens = (await request.redeem(browser, await sign_in(browser, request, email))).json()
    assert opened(tokens["access_token"])[1]["roles"] == roles


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"code_challenge": None, "code_challenge_method": None}, id="no challenge"),
        pytest.param({"code_challenge": None}, id="a method without challenge"),
        pytest.param({"code_challenge_method": "plain"}, id="a plain challenge"),
        pytest.param({"code_challenge_method": None}, id="a challenge that is plain by default"),
        pytest.param({"code_challenge": "short"}, id="a challenge that no S256 makes"),
    ],
)
async def test_an_authorize_request_without_an_s256_challenge_is_refused(
    browser: httpx2.AsyncClient, issuer: str, changes: dict[str, str | None]
) -> None:
    request = Pkce(issuer)
    back = answer(await browser.get(request.url(**changes)))
    assert back["error"] == "invalid_request"
    assert back["state"] == request.state
    assert "code" not in back


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"code_verifier": "x" * 43}, id="the wrong verifier"),
        pytest.param({"code_verifier": ""}, id="no verifier"),
        pytest.param({"redirect_uri": "http://127.0.0.1:5555/elsewhere"}, id="another redirect address"),
        pytest.param({"client_id": "nobody"}, id="another client"),
    ],
)
async def test_a_code_is_bound_to_its_request(
    browser: httpx2.AsyncClient, issuer: str, changes: dict[str, str]
) -> None:
    request = Pkce(issuer)
    code = await sign_in(browser, request)
    refused = await request.redeem(browser, code, **changes)
    assert refused.status_code in (400, 401)
    assert "access_token" not in refused.json()


async def test_a_code_is_good_once_even_after_a_wrong_verifier(browser: httpx2.AsyncClient, issuer: str) -> None:
    request = Pkce(issuer)
    spent = await sign_in(browser, request)
    assert (await request.redeem(browser, spent)).status_code == 200
    assert (await request.redeem(browser, spent)).json()["error"] == "invalid_grant"
    guessed = answer(await browser.get(request.url()))["code"]  # still signed in: no form this time
    assert (await request.redeem(browser, guessed, code_verifier="x" * 43)).json()["error"] == "invalid_grant"
    assert (await request.redeem(browser, guessed)).json()["error"] == "invalid_grant"


@pytest.mark.parametrize(
    "redirect_uri",
    [
        pytest.param("https://evil.example.com/signed-in", id="another host"),
        pytest.param("http://127.0.0.1:5555/other", id="another path"),
        pytest.param("http://127.0.0.1.evil.example.com/signed-in", id="a host that begins like ours"),
        pytest.param("http://user@127.0.0.1:5555/signed-in", id="with a user"),
    ],
)
async def test_a_code_never_leaves_for_an_unknown_address(
    browser: httpx2.AsyncClient, issuer: str, redirect_uri: str
) -> None:
    refused = await browser.get(Pkce(issuer, redirect_uri).url())
    assert refused.status_code == 400
    assert "location" not in refused.headers


async def test_a_wrong_password_says_so_and_keeps_the_address(browser: httpx2.AsyncClient, issuer: str) -> None:
    page = await browser.get(Pkce(issuer).url())
    for email in ("ada@example.com", "nobody@example.com"):
        refused = await submit(browser, page, email=email, password="wrong")
        assert refused.status_code == 401
        assert "There is nobody with this e-mail address and password" in refused.text
        assert f'value="{email}"' in refused.text


async def test_a_sign_in_form_from_elsewhere_is_refused(browser: httpx2.AsyncClient, issuer: str) -> None:
    page = await browser.get(Pkce(issuer).url())
    refused = await submit(browser, page, csrf="guessed", email="ada@example.com", password=DEMO_PASSWORD)
    assert refused.status_code == 403


async def test_whoever_signs_up_is_a_reader_with_a_subject_of_their_own(
    browser: httpx2.AsyncClient, issuer: str
) -> None:
    request = Pkce(issuer)
    address = request.url().replace("/authorize?", "/sign-up?")
    filled = {"name": "Nia Fontaine", "email": "Nia@example.com", "password": "long enough"}
    back = answer(await submit(browser, await browser.get(address), **filled))
    claims = opened((await request.redeem(browser, back["code"])).json()["access_token"])[1]
    assert claims["sub"].startswith("reader-")
    assert (claims["name"], claims["email"], claims["roles"]) == ("Nia Fontaine", "nia@example.com", [])
    again = await submit(browser, await browser.get(address), **filled)
    assert again.status_code == 409
    short = await submit(browser, await browser.get(address), **filled | {"email": "x@example.com", "password": "x"})
    assert short.status_code == 422


async def test_sign_out_forgets_the_person_and_returns_to_the_site(browser: httpx2.AsyncClient, issuer: str) -> None:
    request = Pkce(issuer)
    await sign_in(browser, request)
    asked = {"client_id": "magazine", "post_logout_redirect_uri": "http://127.0.0.1:5555/"}
    assert (await browser.get(f"{issuer}/logout", params=asked)).headers["location"] == "http://127.0.0.1:5555/"
    assert (await browser.get(request.url())).status_code == 200  # the form again, no code
    elsewhere = asked | {"post_logout_redirect_uri": "https://evil.example.com/"}
    assert "location" not in (await browser.get(f"{issuer}/logout", params=elsewhere)).headers


async def test_a_rotation_keeps_the_old_key_published_until_it_is_forgotten(
    browser: httpx2.AsyncClient, issuer: str
) -> None:
    old = await mint(browser, issuer, sub="reader-ada")
    await browser.post(f"{issuer}/_issuer/rotate")
    new = await mint(browser, issuer, sub="reader-ada")
    assert opened(old)[0]["kid"] != opened(new)[0]["kid"]
    both = await keys(browser, issuer)
    assert jwt.decode(old, both).claims["sub"] == jwt.decode(new, both).claims["sub"] == "reader-ada"
    await browser.post(f"{issuer}/_issuer/rotate?forget=1")
    left = {key["kid"] for key in (await browser.get(f"{issuer}/jwks")).json()["keys"]}
    assert opened(old)[0]["kid"] not in left
    assert opened(new)[0]["kid"] not in left


async def test_a_minted_token_is_good_unless_it_is_asked_to_be_bad(browser: httpx2.AsyncClient, issuer: str) -> None:
    known = await keys(browser, issuer)
    good = jwt.decode(await mint(browser, issuer, sub="staff-agent"), known)
    assert (good.claims["email"], good.claims["roles"]) == ("agent@example.com", ["support"])
    elliptic = jwt.decode(await mint(browser, issuer, sub="x", alg="ES256", roles=["admin"]), known, ["ES256"])
    assert elliptic.claims["roles"] == ["admin"]
    expired = opened(await mint(browser, issuer, sub="x", expires_in=-60))[1]
    assert expired["iat"] < expired["exp"] < time.time()
    header, claims = opened(
        await mint(browser, issuer, sub="x", audience="other", issuer="http://other", typ="JWT", kid="unknown")
    )
    assert (claims["aud"], claims["iss"], header["typ"], header["kid"]) == ("other", "http://other", "JWT", "unknown")
    assert "exp" not in opened(await mint(browser, issuer, sub="x", claims={"exp": None}))[1]
    with pytest.raises(BadSignatureError):
        jwt.decode(await mint(browser, issuer, sub="x", forged=True), known)
    assert (await mint(browser, issuer, sub="x", alg="none")).endswith(".")
    assert opened(await mint(browser, issuer, sub="x", alg="HS256"))[0]["alg"] == "HS256"


async def test_the_control_api_answers_its_own_host_only(browser: httpx2.AsyncClient, issuer: str) -> None:
    steered = {"Host": "evil.example.com"}
    response = await browser.post(f"{issuer}/_issuer/tokens", json={"sub": "x"}, headers=steered)
    assert response.status_code == 403
