"""Composition root: one Starlette application with the API, the pages and the control API."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.routing import Route

from sandbox import clock
from sandbox.control import routes as control
from sandbox.delivery.webhooks import WebhookDelivery
from sandbox.http import api
from sandbox.pages import checkout, dashboard
from sandbox.runtime import Runtime
from sandbox.store.accounts import Accounts

_TICK = 0.1
_METHODS = ["GET", "POST", "DELETE", "PUT", "PATCH"]


def build(*, validate: bool = True, seed: int = 0) -> Starlette:
    """
    Return the sandbox as an ASGI application. Its state is `app.state.runtime`.

    :param validate: whether to validate responses and events against the SDK's types. Requests always are.
    :param seed: the default seed of each account.
    """
    runtime = Runtime(accounts=Accounts(seed=seed), delivery=WebhookDelivery(), validate=validate)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        ticking = asyncio.create_task(_tick(runtime))
        yield
        ticking.cancel()
        await runtime.delivery.close()

    routes = [
        Route("/v1/{path:path}", api.handle, methods=_METHODS),
        Route("/v2/{path:path}", api.handle, methods=_METHODS),
        *control.routes,
        *checkout.routes,
        *dashboard.routes,
    ]
    app = Starlette(routes=routes, lifespan=lifespan)
    app.state.runtime = runtime
    return app


async def _tick(runtime: Runtime) -> None:
    """Run due jobs even when no request comes in."""
    while True:
        await clock.sleep(_TICK)
        for account in list(runtime.accounts.by_key.values()):
            runtime.run_due_jobs(account)
