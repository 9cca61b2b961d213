"""The baselines: minimal hand-written applications, served by the same server with the same options as the service."""

import hashlib
import hmac
import json
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
from fastapi import FastAPI
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

REPLY = b'{"allowed":true,"reason":"paid_term","until":"2027-03-01T00:00:00Z"}'
SIGNATURE_TOLERANCE = 300  # seconds


async def bare_asgi(scope: Scope, receive: Receive, send: Send) -> None:
    """Read the body and reply: the least that an ASGI application can do."""
    if scope["type"] != "http":
        return
    more = True
    while more:
        more = (await receive()).get("more_body", False)
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(REPLY))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": REPLY})


async def bare_gate(scope: Scope, receive: Receive, send: Send) -> None:
    """Reply with three headers and no body, like the gate."""
    if scope["type"] != "http":
        return
    headers = [(b"x-newsstand-subscriber", b"auth0%7C" + b"0" * 24), (b"x-newsstand-reason", b"paid_term")]
    headers.append((b"x-newsstand-until", b"2027-03-01T00:00:00Z"))
    await send({"type": "http.response.start", "status": 204, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


class _BareRead:
    """Read the body, select a row by its primary key with asyncpg, and reply."""

    def __init__(self) -> None:
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await receive()
            self._pool = await asyncpg.create_pool(
                os.environ["BENCH_DATABASE_URL"], min_size=10, max_size=10, reset=_no_reset
            )
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await self._pool.close()
            await send({"type": "lifespan.shutdown.complete"})
            return
        assert self._pool is not None
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        sub = json.loads(body)["subscriber"]
        row = await self._pool.fetchrow("SELECT access, version FROM entitlements WHERE sub = $1", sub)
        assert row is not None
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(REPLY))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": REPLY})


bare_read = _BareRead()


class _In(BaseModel):
    subscriber: str
    feature: str


class _Out(BaseModel):
    allowed: bool
    reason: str
    until: str | None


bare_fastapi = FastAPI()


@bare_fastapi.post("/v1/entitlements/check")
async def _check(body: _In) -> _Out:
    return _Out(allowed=True, reason="paid_term", until="2027-03-01T00:00:00Z")


@asynccontextmanager
async def _with_pool(app: Starlette) -> AsyncIterator[None]:
    async with asyncpg.create_pool(os.environ["BENCH_DATABASE_URL"], min_size=10, max_size=10, reset=_no_reset) as pool:
        await pool.execute(
            "CREATE TABLE IF NOT EXISTS events (id text PRIMARY KEY, type text NOT NULL, payload text NOT NULL,"
            " received_at timestamptz NOT NULL DEFAULT now())"
        )
        app.state.pool = pool
        yield


async def _no_reset(_: object) -> None:
    """Skip the round trip that asyncpg makes after each use of a connection, as the service does."""


async def _receive_webhook(request: Request) -> Response:
    body = await request.body()
    signature = dict(part.split("=", 1) for part in request.headers["stripe-signature"].split(","))
    expected = hmac.digest(
        os.environ["BENCH_SECRET"].encode(), signature["t"].encode() + b"." + body, hashlib.sha256
    ).hex()
    if (
        not hmac.compare_digest(expected, signature["v1"])
        or abs(time.time() - int(signature["t"])) > SIGNATURE_TOLERANCE
    ):
        return Response(status_code=400)
    event = json.loads(body)
    await request.app.state.pool.execute(
        "INSERT INTO events (id, type, payload) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        event["id"],
        event["type"],
        body.decode(),
    )
    return Response(b'{"received":true}', media_type="application/json")


async def _fixed_response(request: Request) -> Response:
    return Response(os.environ["BENCH_BODY"].encode(), media_type="application/json")


async def _discovery(request: Request) -> Response:
    url = str(request.base_url).rstrip("/")
    return JSONResponse({"issuer": url, "jwks_uri": f"{url}/keys"})


async def _keys(_: Request) -> Response:
    return JSONResponse({"keys": [json.loads(os.environ["BENCH_JWK"])]})


identity_provider = Starlette(routes=[Route("/.well-known/openid-configuration", _discovery), Route("/keys", _keys)])
static_stripe = Starlette(routes=[Route("/v1/{path:path}", _fixed_response)])
minimal_ingest = Starlette(routes=[Route("/webhooks/stripe", _receive_webhook, methods=["POST"])], lifespan=_with_pool)
