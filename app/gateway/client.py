"""
The client of Stripe: the official SDK over aiohttp, with its errors translated into ours.

The calls for each noun are in a separate file of this package. Every POST has an idempotency key that was stored before (an
intent's). A repeated key gets the first response. The SDK's own retries use the same key as well.
"""

import json
from collections.abc import AsyncIterator, Awaitable
from datetime import timedelta
from typing import Any, TypeVar

import stripe
import structlog
from stripe import ListObject, StripeClient, StripeObject, StripeResponse

from app.domain.errors import NotFound, StripeFault, StripeRefused, StripeUnavailable
from app.gateway.rate_limits import RateLimit, RateLimitedClient, RateLimiter

API_VERSION = "2026-10-28.endive"
T = TypeVar("T")
Listed = TypeVar("Listed", bound=StripeObject)
log = structlog.get_logger()


class Gone(NotFound):
    """The object does not exist at Stripe, or was deleted."""

    code = "gone_at_stripe"
    title = "Object not found at Stripe"


class Plain(dict[str, Any]):
    """A Stripe object as parsed JSON, with its members as attributes like the SDK's objects."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


class Gateway:
    """The client of Stripe's API. ``sdk.v1`` makes the requests; :meth:`call` translates their errors."""

    def __init__(
        self,
        *,
        url: str,
        api_key: str,
        timeout: timedelta = timedelta(seconds=20),
        retries: int = 2,
        test_clock: str | None = None,
        rate_limit: RateLimit | None = None,
    ) -> None:
        """:param rate_limit: the limit that all processes share, or None."""
        self.test_clock = test_clock  # new customers are created on it
        self._http = RateLimitedClient(RateLimiter(rate_limit), timeout=timeout.total_seconds())
        self.sdk = StripeClient(
            api_key,
            base_addresses={"api": url},
            max_network_retries=retries,
            http_client=self._http,
            stripe_version=API_VERSION,
        )

    async def call(self, request: Awaitable[T]) -> T:
        """
        Await a request of the SDK.

        :raises Gone: the object does not exist.
        :raises StripeUnavailable: there was no response, or a rate limit was reached. Repeating the same key is safe.
        :raises StripeFault: a server error at Stripe, which the same key would get again. Look up the result.
        :raises StripeRefused: Stripe declined the request, and nothing was changed. Has Stripe's code.
        """
        try:
            return await request
        except stripe.InvalidRequestError as refused:
            if refused.http_status == 404 or refused.code == "resource_missing":
                raise Gone(_words(refused)) from refused
            raise StripeRefused(_words(refused), stripe_code=refused.code, param=refused.param) from refused
        except stripe.CardError as refused:
            raise StripeRefused(_words(refused), stripe_code=refused.code) from refused
        except (stripe.AuthenticationError, stripe.PermissionError) as refused:
            log.error("stripe_key_refused", status=refused.http_status)
            raise StripeUnavailable("Stripe rejected the API key") from refused
        except stripe.IdempotencyError as refused:
            raise StripeRefused(_words(refused), stripe_code="idempotency_error") from refused
        except stripe.APIError as failure:
            log.warning("stripe_fault", status=failure.http_status, stripe_code=failure.code)
            if failure.http_status == 409:  # another request with the same idempotency key is running
                raise StripeUnavailable("Stripe is still processing the same request") from failure
            raise StripeFault("Stripe returned a server error") from failure
        except stripe.RateLimitError as refused:
            raise StripeUnavailable("Stripe's rate limit is reached; try again") from refused
        except stripe.StripeError as failure:
            log.warning("stripe_unavailable", error=type(failure).__name__, status=failure.http_status)
            raise StripeUnavailable(f"Stripe returned an unexpected response ({type(failure).__name__})") from failure

    async def every(self, request: Awaitable[ListObject[Listed]]) -> list[Listed]:
        """Return all items of a list, page by page. Raises as :meth:`call` does."""
        page = await self.call(request)
        found = list(page.data)
        while page.has_more:
            page = await self.call(page.next_page_async())
            found += page.data
        return found

    async def read(self, path: str, **parameters: Any) -> Any:
        """
        GET an object in the form of the SDK's types, without building the SDK's objects, which costs more than the call.

        The result is plain JSON with its members as attributes. Raises as :meth:`call` does.
        """
        answer: StripeResponse = await self.call(self.sdk.raw_request_async("get", path, **parameters))
        return json.loads(answer.body, object_hook=Plain)

    async def pages(self, path: str, **parameters: Any) -> AsyncIterator[list[Any]]:
        """GET a list, page by page, as :meth:`read` does."""
        page = await self.read(path, **parameters)
        yield page.data
        while page.has_more:
            page = await self.read(path, **parameters, starting_after=page.data[-1].id)
            yield page.data

    async def read_every(self, path: str, **parameters: Any) -> list[Any]:
        """GET all items of a list, as :meth:`read` does."""
        return [one async for page in self.pages(path, **parameters) for one in page]

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close_async()  # type: ignore[no-untyped-call]  # untyped in the SDK


def _words(error: stripe.StripeError) -> str:
    return error.user_message or error.code or type(error).__name__
