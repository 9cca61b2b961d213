"""The publisher's colors, font and logo, from the catalogue."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.account.state import account_of
from app.account.templating import style_sheet

CACHED = {"Cache-Control": "max-age=300"}


async def style(request: Request) -> Response:
    """Return the style sheet with the publisher's colors and font."""
    css = style_sheet(account_of(request).ctx.catalogue.brand)
    return Response(css, media_type="text/css", headers=CACHED)


async def logo(request: Request) -> Response:
    """Return the publisher's logo, if it is a file."""
    found = account_of(request).ctx.catalogue.brand.logo
    if found is None or found.url is not None:
        return Response(status_code=404)
    return Response(found.content, media_type=found.media_type, headers=CACHED)


ROUTES = [Route("/brand.css", style, methods=["GET"]), Route("/logo", logo, methods=["GET"])]
