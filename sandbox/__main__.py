"""Command line of the local Stripe: `python -m sandbox`."""

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
A local Stripe for development and tests. It serves version {API_VERSION} of Stripe's API on this machine only.
Everything is kept in memory, and no money moves.

  Start it, send events to a webhook endpoint, and make a request:
    python -m sandbox --forward-to http://127.0.0.1:8000/webhooks/stripe
    curl http://127.0.0.1:4242/v1/products -u {DEFAULT_KEY}: -d name=Magazine

  Use the official SDK:
    StripeClient("{DEFAULT_KEY}", base_addresses={{"api": "http://127.0.0.1:4242"}})

  Open the dashboard in a browser to see objects and events, or to inject faults:
    http://127.0.0.1:4242/

  Each key that starts with sk_test_ is a separate account, created at first use. Live keys are rejected.
  Customers pay at the `url` of a checkout session, for example with the card 4242 4242 4242 4242.
  The control API below /_sandbox can inject faults, lose webhooks and more; see CONTRIBUTING.md.
"""


class _AbortableProtocol(HttpToolsProtocol):
    """HTTP protocol that lets the application abort the connection, which ASGI has no message for."""

    def on_message_begin(self) -> None:
        """Add the abort function to the scope of each request."""
        super().on_message_begin()
        self.scope["sandbox.abort"] = self.transport.abort  # type: ignore[typeddict-unknown-key]


class _Server(uvicorn.Server):
    """Server that prints its address once it listens."""

    def __init__(self, config: uvicorn.Config, *, seed: int) -> None:
        super().__init__(config)
        self._seed = seed

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then print the line that other programs wait for, and the seed."""
        await super().startup(sockets)
        if self.started and sockets:
            host, port = sockets[0].getsockname()[:2]
            print(f"Sandbox listening on http://{host}:{port}")
            print(f"Dashboard: http://{host}:{port}/ (repeat this run with --seed {self._seed})", flush=True)


def main(arguments: list[str] | None = None) -> int:
    """Run the sandbox until it is interrupted. Return the exit code."""
    options = _options().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    if options.report:
        print(as_text(report()))
        return 0
    api.load_routes()
    seed = new_seed() if options.seed is None else options.seed
    app = build(validate=options.validate, seed=seed)
    if options.forward_to:
        account = app.state.runtime.accounts.get(options.key)
        register(account, url=options.forward_to, enabled_events=["*"], secret=options.signing_secret)
    # With the protocol named, asyncio disables Nagle's algorithm; otherwise each response takes up to 40 ms longer.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((options.host, options.port))
    except OSError as error:
        print(f"Cannot listen on {options.host}:{options.port}: {error.strerror}.", file=sys.stderr)
        return 1
    config = uvicorn.Config(
        app,
        http=_AbortableProtocol,
        lifespan="on",
        log_level="warning",
        access_log=False,
        timeout_keep_alive=75,  # longer than clients keep idle connections, so that none uses a closed one
        timeout_graceful_shutdown=2,
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
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default: %(default)s; other hosts are not protected)"
    )
    parser.add_argument(
        "--port",
        type=int,
        default=4242,
        help="port to listen on (default: %(default)s); 0 chooses a free port and prints it",
    )
    parser.add_argument(
        "--forward-to", metavar="URL", help="send the default account's events to this webhook endpoint"
    )
    parser.add_argument(
        "--signing-secret",
        default=DEFAULT_SIGNING_SECRET,
        help="signing secret for --forward-to (default: %(default)s)",
    )
    parser.add_argument("--key", default=DEFAULT_KEY, help="secret key of the default account (default: %(default)s)")
    parser.add_argument(
        "--no-validate", dest="validate", action="store_false", help="do not validate responses (for benchmarks only)"
    )
    parser.add_argument("--seed", type=_seed, help="seed of all randomness, to repeat a run (default: random)")
    parser.add_argument("--report", action="store_true", help="print the supported and unsupported routes, and exit")
    return parser


if __name__ == "__main__":
    sys.exit(main())
