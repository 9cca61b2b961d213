"""Build the pages of the mailbox. The mail server runs as long as they do."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path

from aiosmtpd.smtp import SMTP
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.templating import Jinja2Templates

from demo.mailbox.server import Mail, Mailbox
from demo.security_headers import CONTENT_SECURITY_POLICY, SecurityHeaders

FOLDER = Path(__file__).parent
FRAMING = f"{CONTENT_SECURITY_POLICY}; frame-src 'self'"
# A message has its styles in itself. It may load nothing, and run nothing.
OF_MESSAGE = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox; frame-ancestors 'self'"


def build(mail_listener: socket.socket) -> Starlette:
    """
    Build the application.

    :param mail_listener: the socket of the mail server.
    """
    box = Mailbox()
    templates = Jinja2Templates(directory=FOLDER / "templates")

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: SMTP(box, enable_SMTPUTF8=True, loop=loop), sock=mail_listener)
        yield
        server.close()

    async def show_all(request: Request) -> Response:
        return templates.TemplateResponse(request, "mailbox.html", {"mails": list(box.mails)})

    async def show_one(request: Request) -> Response:
        mail = _found(box, request)
        page = templates.TemplateResponse(request, "mail.html", {"mail": mail})
        page.headers["Content-Security-Policy"] = FRAMING
        return page

    async def show_html(request: Request) -> Response:
        return HTMLResponse(_found(box, request).html, headers={"Content-Security-Policy": OF_MESSAGE})

    async def messages(_: Request) -> Response:
        return JSONResponse({"data": [asdict(mail) for mail in box.mails]})

    async def health(_: Request) -> Response:
        return PlainTextResponse("ok")

    return Starlette(
        routes=[
            Route("/", show_all),
            Route("/messages.json", messages),
            Route("/messages/{number:int}", show_one),
            Route("/messages/{number:int}/html", show_html),
            Route("/healthz", health),
            Mount("/static", StaticFiles(directory=FOLDER / "static")),
        ],
        middleware=[Middleware(SecurityHeaders)],
        lifespan=lifespan,
    )


def _found(box: Mailbox, request: Request) -> Mail:
    mail = box.find(request.path_params["number"])
    if mail is None:
        raise HTTPException(404)
    return mail
