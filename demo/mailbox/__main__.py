"""`python -m demo.mailbox`: a mail server that keeps what it receives, and pages that show it."""

import argparse

from demo.mailbox.app import build
from demo.server import bind, origin, serve


def main() -> None:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m demo.mailbox", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8025, help="port of the pages; 0 picks a free one (default: 8025)")
    parser.add_argument("--smtp-port", type=int, default=2525, help="port of the mail server (default: 2525)")
    arguments = parser.parse_args()
    listener, mail_listener = bind(arguments.host, arguments.port), bind(arguments.host, arguments.smtp_port)
    serve(build(mail_listener), listener, announcement=f"Mailbox listening on {origin(listener)}")


if __name__ == "__main__":
    main()
