"""The command line: `python -m sandbox`."""

import argparse
import asyncio
import logging
import socket
import sys

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from sandbox.app import build
from sandbox.constants import API_VERSION, DEFAULT_KEY, DEFAULT_SIGNING_SECRET
from sandbox.control.coverage import as_text, report
from sandbox.http import api
from sandbox.resources.webhook_endpoints import register
from sandbox.seeded_random import new_seed

_TEACHING = f"""
A local Stripe for development and tests. It speaks Stripe's API, version {API_VERSION}, on this machine alone, keeps
all in memory and moves no money.

  Try it:
    python -m sandbox --forward-to http://127.0.0.1:8000/webhooks/stripe
    curl http://127.0.0.1:4242/v1/products -u {DEFAULT_KEY}: -d name=Magazine

  With the SDK:
    StripeClient("{DEFAULT_KEY}", base_addresses={{"api": "http://127.0.0.1:4242"}})

  Every key sk_test_… is an account of its own, made when it is first used. Live keys are refused.
  Readers pay at the `url` of a checkout session; 4242 4242 4242 4242 is a card that works.
  What tests need besides, such as faults and lost webhooks, is below /_sandbox (see sandbox/control/routes.py).
"""


class _AbortableProtocol(HttpToolsProtocol):
    """Lets an application cut the connection, which ASGI has no word for."""

    def on_message_begin(self) -> None:
        """Put the means to do it into the scope of each request."""
        super().on_message_begin()
        self.scope["sandbox.abort"] = self.transport.abort  # type: ignore[typeddict-unknown-key]


class _Server(uvicorn.Server):
    """Says where it listens once it does."""

    def __init__(self, config: uvicorn.Config, *, seed: int) -> None:
        super().__init__(config)
        self._seed = seed

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then print the line that other programs wait for, and the seed."""
        await super().startup(sockets)
        if self.started and sockets:
            host, port = sockets[0].getsockname()[:2]
            print(f"Sandbox listening on http://{host}:{port}")
            print(f"Chances are drawn from --seed {self._seed}; its page is at http://{host}:{port}/", flush=True)


def main(arguments: list[str] | None = None) -> int:
    """Run the sandbox until it is interrupted."""
    options = _options().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    if options.report:
        print(as_text(report()))
        return 0
    api.load_routes()
    seed = new_seed() if options.seed is None else options.seed
    app = build(validate=options.validate, seed=seed)
    if options.forward_to:
        account = app.state.runtime.accounts.of(options.key)
        register(account, url=options.forward_to, enabled_events=["*"], secret=options.signing_secret)
    # With the protocol named, asyncio switches Nagle's delay off; without, each reply waits up to 40 ms.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((options.host, options.port))
    except OSError as error:
        print(f"Cannot listen on {options.host}:{options.port}: {error.strerror}.", file=sys.stderr)
        return 1
    config = uvicorn.Config(
        app, http=_AbortableProtocol, lifespan="on", log_level="warning", access_log=False, timeout_graceful_shutdown=2
    )
    try:
        with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
            runner.run(_Server(config, seed=seed).serve([listener]))
    except KeyboardInterrupt:
        return 130
    return 0


def _seed(text: str) -> int:
    number = int(text)
    if number < 0:
        raise ValueError(text)
    return number


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sandbox", description=_TEACHING, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--host", default="127.0.0.1", help="where to listen; anything but loopback is unwise")
    parser.add_argument("--port", type=int, default=4242, help="0 finds a free one; the first line printed says which")
    parser.add_argument("--forward-to", metavar="URL", help="send the events of the default account there, signed")
    parser.add_argument("--signing-secret", default=DEFAULT_SIGNING_SECRET, help="signs them (default: %(default)s)")
    parser.add_argument("--key", default=DEFAULT_KEY, help="the default account's secret key (default: %(default)s)")
    parser.add_argument(
        "--no-validate", dest="validate", action="store_false", help="do not check replies; for benchmarks alone"
    )
    parser.add_argument(
        "--seed", type=_seed, help="what chances are drawn from, to repeat a run (default: another each time)"
    )
    parser.add_argument("--report", action="store_true", help="say which of Stripe's routes are served, and end")
    return parser


if __name__ == "__main__":
    sys.exit(main())
