"""`python -m demo.site`: the magazine. Configured by the environment (see `demo.site.settings`)."""

import argparse

from demo.serving import address, bind, serve
from demo.site.app import build
from demo.site.settings import Settings


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m demo.site", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080, help="0 picks a free one")
    arguments = parser.parse_args()
    listener = bind(arguments.host, arguments.port)
    app = build(Settings.from_environment(address(listener)))
    serve(app, listener, announcement=f"Magazine listening on {address(listener)}")


if __name__ == "__main__":
    main()
