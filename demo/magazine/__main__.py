"""`python -m demo.magazine`: the magazine. Configured by the environment (see `demo.magazine.settings`)."""

import argparse

from demo.magazine.app import build
from demo.magazine.settings import Settings
from demo.server import address, bind, serve


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m demo.magazine", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080, help="0 picks a free one")
    arguments = parser.parse_args()
    listener = bind(arguments.host, arguments.port)
    app = build(Settings.from_environment(address(listener)))
    serve(app, listener, announcement=f"Magazine listening on {address(listener)}")


if __name__ == "__main__":
    main()
