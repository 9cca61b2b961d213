"""`python -m demo.identity_provider`: an OpenID provider for the demo and the tests, with public passwords."""

import argparse

from demo.identity_provider.app import build
from demo.server import bind, origin, serve

DEFAULT_REDIRECT_URIS = ["http://127.0.0.1:8080/signed-in", "http://localhost:8080/signed-in"]


def main() -> None:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m demo.identity_provider", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=9000, help="port to listen on; 0 picks a free one (default: 9000)")
    parser.add_argument("--audience", default="newsstand", help="audience of access tokens (default: %(default)s)")
    parser.add_argument("--issuer", metavar="URL", help="issuer URL in tokens (default: the address it listens on)")
    parser.add_argument(
        "--redirect-uri", action="append", metavar="URL",
        help="allowed redirect URI of the client 'magazine'; on loopback, any port is allowed. Repeatable",
    )  # fmt: skip
    arguments = parser.parse_args()
    listener = bind(arguments.host, arguments.port)
    url = (arguments.issuer or origin(listener)).rstrip("/")
    app = build(url=url, audience=arguments.audience, redirect_uris=arguments.redirect_uri or DEFAULT_REDIRECT_URIS)
    serve(app, listener, announcement=f"Identity provider listening on {origin(listener)}")


if __name__ == "__main__":
    main()
