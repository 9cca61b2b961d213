"""
The front page and the article pages.

An article for subscribers opens if the reader's entitlement token grants it, without a call to the service. Otherwise
the site calls the service, which also returns the reason for a refusal. A reader with access gets a new token.
"""

import logging
from typing import Any

from newsstand_edge.edge import COOKIE
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from demo.magazine import messages
from demo.magazine.articles import Article
from demo.magazine.context import Context
from demo.magazine.newsstand_client import Problem, Unreachable
from demo.magazine.oidc import Reader

log = logging.getLogger(__name__)


class ArticlePages:
    """The front page and the article pages."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def routes(self) -> list[Route]:
        """Return the routes of the front page and the articles."""
        return [Route("/", self.front_page), Route("/articles/{slug}", self.article)]

    async def front_page(self, request: Request) -> Response:
        """Show the current issue, with the plan card for readers without a subscription."""
        articles, reader = self._context.articles, self._context.reader(request)
        subscribed = reader is not None and await self._has_any_feature(reader)
        return self._context.render(
            request, "front_page.html",
            lead=articles[0],
            current=[article for article in articles[1:] if article.feature != "archive"],
            archive=[article for article in articles if article.feature == "archive"],
            plan=None if subscribed else await self._plan(reader), subscribed=subscribed,
        )  # fmt: skip

    async def article(self, request: Request) -> Response:
        """Show an article, in full or up to the paywall."""
        article = self._context.article(request.path_params["slug"])
        if article is None:
            raise HTTPException(404)
        reader = self._context.reader(request)
        allowed_by_token = reader is not None and self._allowed_by_token(request, article, reader)
        paywall = None if allowed_by_token else await self._paywall(article, reader)
        unavailable = paywall is not None and paywall.get("unavailable", False)
        page = self._context.render(
            request, "article.html", status=503 if unavailable else 200,
            article=article,
            paywall=paywall,
            plan=await self._plan(reader) if paywall and not unavailable else None,
            others=[other for other in self._context.articles if other is not article][:3],
        )  # fmt: skip
        if article.feature and paywall is None and not allowed_by_token and reader is not None:
            await self._set_token_cookie(page, reader)
        return page

    def _allowed_by_token(self, request: Request, article: Article, reader: Reader) -> bool:
        """Return whether the entitlement token grants access and belongs to this reader, not to an earlier one."""
        answer = self._context.edge.may(request, article.feature) if article.feature else None
        return answer is not None and answer.allowed and answer.subscriber == reader.sub

    async def _set_token_cookie(self, page: Response, reader: Reader) -> None:
        """Set a cookie with a new entitlement token. Without it, the next article needs another call."""
        try:
            token = await self._context.newsstand.entitlement_token(reader.token)
        except (Unreachable, Problem) as error:
            log.warning("cannot get an entitlement token: %s", error)
            return
        secure = self._context.settings.url.startswith("https://")
        page.set_cookie(COOKIE, token, httponly=True, samesite="lax", secure=secure)

    async def _paywall(self, article: Article, reader: Reader | None) -> dict[str, Any] | None:
        """Return the paywall's variables, or None if the reader may read the whole article."""
        if article.feature is None:
            return None
        if reader is None:
            return {"reason": "signed_out", "message": messages.SUBSCRIBERS_ONLY}
        try:
            access = await self._context.newsstand.check_access(reader.sub, article.feature)
        except Unreachable as error:
            log.warning("cannot check access: %s", error)
            return {"reason": "unavailable", "unavailable": True}
        return None if access.allowed else {"reason": access.reason, "message": messages.paywall(access.reason)}

    async def _has_any_feature(self, reader: Reader) -> bool:
        """Return whether the reader may use any feature; False if the service is down, which shows the plan card."""
        try:
            return bool(await self._context.newsstand.features(reader.token))
        except (Unreachable, Problem) as error:
            log.warning("cannot get entitlements: %s", error)
            return False

    async def _plan(self, reader: Reader | None) -> dict[str, Any] | None:
        try:
            return await self._context.newsstand.plan(reader.token if reader else None)
        except (Unreachable, Problem) as error:
            log.warning("cannot get the plan: %s", error)
            return None
