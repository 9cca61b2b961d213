"""Style sheets, scripts and icons."""

from starlette.staticfiles import StaticFiles
from starlette.types import Message, Receive, Scope, Send


class Static(StaticFiles):
    """A folder of style sheets, scripts and icons. Browsers keep them, and check before each use whether they changed."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a file."""

        async def send_with_cache_control(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"cache-control", b"no-cache")]
            await send(message)

        await super().__call__(scope, receive, send_with_cache_control)
