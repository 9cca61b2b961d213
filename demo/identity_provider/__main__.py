"""`python -m demo.identity_provider`: an OpenID provider for the demo and the tests. Loopback and public passwords only."""

import argparse

from demo.identity_provider.app import build
from demo.server import address, bind, serve

DEFAULT_REDIRECTS = ["http://127.0.0.1:8080/signed-in", "http://localhost:8080/signed-in"]


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m demo.identity_provider", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=9000, help="0 picks a free one")
    parser.add_argument("--audience", default="newsstand", help="the API that access tokens are for")
    parser.add_argument("--issuer", metavar="URL", help="what it calls itself; default: where it listens")
    parser.add_argument(
        "--redirect-uri", action="append", metavar="URL",
        help="where the client 'magazine' may be sent back to; on loopback any port of it. Repeatable",
    )  # fmt: skip
    arguments = parser.parse_args()
    listener = bind(arguments.host, arguments.port)
    url = (arguments.issuer or address(listener)).rstrip("/")
    app = build(url=url, audience=arguments.audience, redirect_uris=arguments.redirect_uri or DEFAULT_REDIRECTS)
    serve(app, listener, announcement=f"Issuer listening on {address(listener)}")


if __name__ == "__main__":
    main()
