"""The gate that proxies call, and the tokens that edges verify."""

from typing import Any

import jwt

from tests.support.shop import Shop


async def gate(shop: Shop, feature: str = "archive", **headers: str) -> tuple[int, str, str, str]:
    """Call the gate as a proxy does. Return the status and the three headers that a proxy copies."""
    answer = await shop.http.get("/v1/gate", params={"feature": feature}, headers=headers)
    sub, reason, until = (answer.headers[f"x-newsstand-{name}"] for name in ("subscriber", "reason", "until"))
    return answer.status_code, sub, reason, until


async def read_token(shop: Shop, token: str) -> dict[str, Any]:
    """Verify a token as an edge does, with only the published keys."""
    published = (await shop.http.get("/.well-known/jwks.json")).json()["keys"]
    keys = {key["kid"]: jwt.PyJWK(key) for key in published}
    key = keys[jwt.get_unverified_header(token)["kid"]]
    return dict(jwt.decode(token, key, algorithms=["ES256"], issuer="newsstand", audience="newsstand-site"))


async def test_the_gate_allows_a_paying_reader_until_the_refund(shop: Shop) -> None:
    ada = shop.person("auth0|ada")
    assert await gate(shop) == (401, "", "not_authenticated", "")
    assert await gate(shop, **ada.headers) == (403, "auth0%7Cada", "never_subscribed", "")

    await shop.subscribe(ada)

    assert await gate(shop, **ada.headers) == (204, "auth0%7Cada", "paid_term", "2027-03-01T18:00:00Z")
    assert await gate(shop, "teleport", **ada.headers) == (403, "auth0%7Cada", "unknown_feature", "")
    assert (await gate(shop, "ad_free", **ada.headers))[::2] == (403, "coming_soon")
    payment = (await shop.overview(ada))["payments"][0]["id"]
    assert (await shop.request_refund(payment)).status_code == 201
    assert (await gate(shop, **ada.headers))[::2] == (403, "refunded")


async def test_a_refund_revokes_an_entitlement_token(shop: Shop) -> None:
    ada = shop.person()
    nothing = (await shop.post("/v1/me/entitlement-tokens", ada)).json()
    assert (await read_token(shop, nothing["token"]))["features"] == {}
    await shop.subscribe(ada)
    minted = (await shop.post("/v1/me/entitlement-tokens", ada)).json()

    claims = await read_token(shop, minted["token"])

    until = 1803924000  # 1 March 2027
    assert claims["sub"] == "ada"
    assert claims["features"] == dict.fromkeys(("archive", "audio", "digital_edition", "exclusive_content"), until)
    assert claims["until"] == until
    assert claims["exp"] - claims["iat"] == 300
    server = {"Authorization": f"Bearer {shop.server_key}"}
    feed = (await shop.http.get("/v1/revocations", headers=server)).json()
    assert feed == {"data": [], "next": "0"}
    payment = (await shop.overview(ada))["payments"][0]["id"]
    assert (await shop.request_refund(payment)).status_code == 201
    feed = (await shop.http.get("/v1/revocations", params={"since": feed["next"], "wait": 20}, headers=server)).json()
    assert [one["subscriber"] for one in feed["data"]] == ["ada"]
    assert feed["data"][0]["version"] > claims["version"]


async def test_an_invalid_token_is_rejected_with_a_reason_and_counted(shop: Shop) -> None:
    ada = shop.person()
    ours = (await shop.post("/v1/me/entitlement-tokens", ada)).json()["token"]

    for token in (
        ours,  # an entitlement token does not authenticate its caller
        shop.server_key,
        "x" * 20_000,
        "\u00e9\u00e9.\u00e9\u00e9.\u00e9\u00e9",
    ):
        answer = await shop.http.get(
            "/v1/gate", params={"feature": "archive"}, headers={b"Authorization": b"Bearer " + token.encode("latin-1")}
        )
        assert answer.status_code == 401, token[:40]
        assert answer.headers["x-newsstand-reason"] == "not_authenticated"
        assert answer.headers["x-newsstand-subscriber"] == ""
    counted = (await shop.http.get("/metrics")).text
    assert 'newsstand_refusals_total{code="not_authenticated"}' in counted
    assert 'newsstand_gate_answers_total{reason="not_authenticated",status="401"}' in counted
