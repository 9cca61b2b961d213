"""
The front page and the articles.

Whether a gated article opens is told by the reader's own token, which the service signed: no question is asked while it
says yes. Else the service is asked, which also says why not; and whoever may read gets a new token.
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
from demo.magazine.context import Magazine
from demo.magazine.newsstand_client import Problem, Unreachable
from demo.magazine.oidc import Reader

log = logging.getLogger(__name__)


class Reading:
    """Pages to read."""

    def __init__(self, magazine: Magazine) -> None:
        self._magazine = magazine

    def routes(self) -> list[Route]:
        """Return the routes to read by."""
        return [Route("/", self.front), Route("/articles/{slug}", self.article)]

    async def front(self, request: Request) -> Response:
        """Show this issue, and the offer to who has not taken it."""
        articles, reader = self._magazine.articles, self._magazine.reader(request)
        subscribed = reader is not None and await self._has_anything(reader)
        return self._magazine.page(
            request, "front_page.html",
            lead=articles[0],
            current=[article for article in articles[1:] if article.feature != "archive"],
            archive=[article for article in articles if article.feature == "archive"],
            plan=None if subscribed else await self._plan(), subscribed=subscribed,
        )  # fmt: skip

    async def article(self, request: Request) -> Response:
        """Show an article as far as this reader may read it."""
        article = self._magazine.article(request.path_params["slug"])
        if article is None:
            raise HTTPException(404)
        reader = self._magazine.reader(request)
        by_token = reader is not None and self._opened_by_token(request, article, reader)
        wall = None if by_token else await self._wall(article, reader)
        others = [other for other in self._magazine.articles if other is not article][:3]
        plan = await self._plan() if wall and not wall.get("unavailable") else None
        status = 503 if wall and wall.get("unavailable") else 200
        page = self._magazine.page(
            request, "article.html", status=status, article=article, wall=wall, plan=plan, others=others
        )
        if article.feature and wall is None and not by_token and reader is not None:
            await self._give_token(page, reader)
        return page

    def _opened_by_token(self, request: Request, article: Article, reader: Reader) -> bool:
        """Tell whether the reader's signed token opens an article. One that another left in this browser does not."""
        answer = self._magazine.edge.may(request, article.feature) if article.feature else None
        return answer is not None and answer.allowed and answer.subscriber == reader.sub

    async def _give_token(self, page: Response, reader: Reader) -> None:
        """Let the reader's browser keep what they may use; without, the service is asked again, and no harm is done."""
        try:
            token = await self._magazine.newsstand.entitlement_token(reader.token)
        except (Unreachable, Problem) as error:
            log.warning("no entitlement token: %s", error)
            return
        secure = self._magazine.settings.url.startswith("https://")
        page.set_cookie(COOKIE, token, httponly=True, samesite="lax", secure=secure)

    async def _wall(self, article: Article, reader: Reader | None) -> dict[str, Any] | None:
        """Return what stands between the reader and the rest of an article, or nothing."""
        if article.feature is None:
            return None
        if reader is None:
            return {"reason": "signed_out", "sentence": messages.ANONYMOUS}
        try:
            answer = await self._magazine.newsstand.may_use(reader.sub, article.feature)
        except Unreachable as error:
            log.warning("entitlement check failed: %s", error)
            return {"reason": "unavailable", "unavailable": True}
        return None if answer.allowed else {"reason": answer.reason, "sentence": messages.closed(answer.reason)}

    async def _has_anything(self, reader: Reader) -> bool:
        """Tell whether a reader has a subscription to use; in doubt the offer does no harm."""
        try:
            return bool(await self._magazine.newsstand.features(reader.token))
        except (Unreachable, Problem) as error:
            log.warning("no entitlements to look at: %s", error)
            return False

    async def _plan(self) -> dict[str, Any] | None:
        try:
            return await self._magazine.newsstand.plan()
        except (Unreachable, Problem) as error:
            log.warning("no plan to show: %s", error)
            return None
