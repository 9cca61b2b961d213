"""`python -m demo.magazine`: the magazine's site, configured by environment variables (see `demo.magazine.settings`)."""

import argparse

from demo.magazine.app import build
from demo.magazine.settings import Settings
from demo.server import bind, origin, serve


def main() -> None:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m demo.magazine", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8080, help="port to listen on; 0 picks a free one (default: 8080)")
    arguments = parser.parse_args()
    listener = bind(arguments.host, arguments.port)
    app = build(Settings.from_environment(origin(listener)))
    serve(app, listener, announcement=f"Magazine listening on {origin(listener)}")


if __name__ == "__main__":
    main()
