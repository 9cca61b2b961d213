"""The account pages: the subscription's status, cancel, resume, and a refund under the guarantee."""

import secrets
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from demo.forms import money_field, text_field
from demo.magazine import formatting, messages
from demo.magazine.context import Context, redirect_to_sign_in, see_other
from demo.magazine.newsstand_client import Problem

LIVE_STATUSES = frozenset({"active", "trialing", "past_due"})
CANCELABLE_STATUSES = LIVE_STATUSES | {"paused", "unpaid"}

CANCELED = "Your subscription is canceled. You won’t be charged again."
RESUMED = "Your subscription will renew as usual."


class AccountPages:
    """The pages for a reader's own subscription."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def routes(self) -> list[Route]:
        """Return the routes of the account."""
        return [
            Route("/account", self.show),
            Route("/account/cancel", self.cancel, methods=["POST"]),
            Route("/account/resume", self.resume, methods=["POST"]),
            Route("/account/refund", self.preview_refund, methods=["GET"]),
            Route("/account/refund", self.refund, methods=["POST"]),
        ]

    async def show(self, request: Request) -> Response:
        """Show the subscription."""
        reader = self._context.reader(request)
        if reader is None:
            return redirect_to_sign_in("/account")
        subscription, other_access = await self._context.newsstand.subscription(reader.token)
        timezone = self._context.settings.timezone
        status = subscription.get("status") if subscription is not None else None
        ends = (subscription or {}).get("ends_at") is not None
        cancelable = status == "past_due" or (status in CANCELABLE_STATUSES and not ends)
        return self._context.render(
            request, "account.html",
            subscription=subscription,
            status_message=messages.subscription_status(subscription, timezone) if subscription else None,
            editions=formatting.editions(subscription.get("editions")) if subscription else None,
            live=status in LIVE_STATUSES,
            resumable=ends and status in LIVE_STATUSES,
            on_hold=messages.is_on_hold(subscription),
            notice_text=messages.notice_text(subscription, timezone),
            notice_link=messages.notice_link(subscription, hosted_account=self._context.settings.hosted_account_url),
            other_access=messages.other_access(other_access, timezone),
            preview=await self._context.newsstand.cancel_preview(reader.token) if cancelable else None,
        )  # fmt: skip

    async def cancel(self, request: Request) -> Response:
        """Cancel the subscription at the end of the paid period."""
        return await self._change(request, self._context.newsstand.cancel, notice=CANCELED)

    async def resume(self, request: Request) -> Response:
        """Resume a subscription that is set to end."""
        return await self._change(request, self._context.newsstand.resume, notice=RESUMED)

    async def preview_refund(self, request: Request) -> Response:
        """Show the refund under the guarantee and its consequences, and ask for confirmation."""
        reader = self._context.reader(request)
        if reader is None:
            return redirect_to_sign_in("/account/refund")
        quote = await self._context.newsstand.guarantee_quote(reader.token)
        if quote is None:
            return see_other("/account")
        return self._context.render(
            request, "refund.html",
            quote=quote,
            refusal=formatting.sentence(str(quote.get("detail") or "the guarantee has expired")),
            # One idempotency key for each time the page is shown, so that a double click pays once.
            key=secrets.token_urlsafe(16),
        )  # fmt: skip

    async def refund(self, request: Request) -> Response:
        """Pay the refund, if the amount is still the one that the reader saw."""
        form = await self._context.form(request)
        reader = self._context.reader(request)
        if reader is None:
            return redirect_to_sign_in("/account/refund")
        try:
            refund = await self._context.newsstand.request_own_refund(
                reader.token, key=text_field(form, "key"), amount=money_field(form)
            )
        except Problem as problem:
            if problem.status == 401:
                raise
            request.session["notice"] = messages.error(problem)
        else:
            request.session["notice"] = messages.refund_status(refund)
        return see_other("/account")

    async def _change(self, request: Request, change: Callable[[str], Awaitable[None]], *, notice: str) -> Response:
        await self._context.form(request)
        reader = self._context.reader(request)
        if reader is None:
            return redirect_to_sign_in("/account")
        await change(reader.token)
        request.session["notice"] = notice
        return see_other("/account")
