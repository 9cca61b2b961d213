"""
``/docs``: the API's reference as a page of our own.

It is rendered from the OpenAPI document on the server. It has no script and loads nothing from another host, so it works
without the internet and under a strict content security policy. :mod:`app.api.internal_pages` says who may open it.
"""

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from app.api.api_reference import read
from app.api.internal_pages import guarded

FOLDER = Path(__file__).parent
POLICY = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
HEADERS = {"Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}


def routes(document: Callable[[], Mapping[str, Any]]) -> list[Route]:
    """
    Return the routes of the page and of the document.

    :param document: returns the OpenAPI document.
    """

    @cache
    def rendered() -> str:
        return _page(document())

    async def page(_: Request) -> Response:
        return HTMLResponse(rendered(), headers=HEADERS)

    async def schema(_: Request) -> Response:
        return JSONResponse(document())

    async def style(_: Request) -> Response:
        return FileResponse(
            FOLDER / "static" / "docs.css", media_type="text/css", headers={"Cache-Control": "no-cache"}
        )

    return [
        Route("/docs", guarded(page), include_in_schema=False),
        Route("/docs/style.css", guarded(style), include_in_schema=False),
        Route("/openapi.json", guarded(schema), include_in_schema=False),
    ]


def _page(document: Mapping[str, Any]) -> str:
    environment = Environment(
        loader=FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["prose"] = _prose
    return environment.get_template("docs.html").render(reference=read(document))


def _prose(text: str) -> Markup:
    """Return a description as HTML: what stands between backticks is code."""
    parts = text.replace("``", "`").split("`")
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if at % 2 else escape(part) for at, part in enumerate(parts)
    )
