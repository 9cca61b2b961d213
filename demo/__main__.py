"""`python -m demo`: start the whole demo, print its addresses and test accounts, and stop on Ctrl-C."""

import argparse
import asyncio
import sys
import time

from demo.identity_provider.users import DEMO_PASSWORD, DEMO_USERS
from demo.stack import Ports, Stack, StackFailed, cancel_on_signals

TEST_CARDS = (
    ("4242 4242 4242 4242", "payment succeeds"),
    ("4000 0000 0000 0002", "card is declined"),
    ("4000 0027 6000 3184", "3-D Secure authentication required"),
    ("4000 0000 0000 7726", "payment succeeds; refunds stay pending for a while"),
    ("4000 0000 0000 5126", "payment succeeds; refunds fail later"),
)


def print_now(line: str = "") -> None:
    """Print a line and flush it, so that it shows up immediately in a pipe too."""
    print(line, flush=True)


def print_guide(stack: Stack) -> None:
    """Print the addresses, the accounts and the test cards."""
    print_now()
    print_now(f"  Magazine          {stack.magazine}")
    print_now(f"  Its support desk  {stack.magazine}/desk")
    print_now(f"  Hosted account    {stack.account}")
    print_now(f"  Console           {stack.console}")
    print_now(f"  Mailbox           {stack.mailbox}")
    print_now(f"  API reference     {stack.service}/docs")
    print_now(f"  Local Stripe      {stack.sandbox}")
    print_now()
    print_now(f"  Sign in with the password {DEMO_PASSWORD} and one of these accounts")
    for user in DEMO_USERS:
        print_now(f"    {user.email:<26}{', '.join(user.roles) or 'reader'}")
    print_now("  or create an account on the sign-in page.")
    print_now()
    print_now("  Test cards (any future expiry date, any three-digit CVC):")
    for number, result in TEST_CARDS:
        print_now(f"    {number}  {result}")
    print_now()
    print_now("  Press Ctrl-C to stop everything.")


async def run(*, keep_data: bool) -> int:
    """Start the demo, wait for a signal and stop it. Return the exit status."""
    stop_requested = cancel_on_signals(print_now)
    started_at = time.monotonic()
    print_now("Starting the magazine with a local Stripe, an identity provider and a database ...")
    stack = Stack(Ports().or_available(print_now), keep_data=keep_data, report=print_now)
    print_now(f"Logs are in {stack.folder}")
    try:
        async with stack:
            print_now(f"Ready after {time.monotonic() - started_at:.1f} seconds.")
            print_guide(stack)
            await stack.processes.watch()
    except StackFailed as failure:
        print(f"\nStopped: {failure}", file=sys.stderr, flush=True)
        return 1
    except asyncio.CancelledError:
        if not stop_requested.is_set():
            raise
    if keep_data:
        print_now(f"Kept {stack.folder}")
    return 0


def main() -> None:
    """Parse the command line and run the demo."""
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("--keep-data", action="store_true", help="keep the folder with the database and the logs")
    arguments = parser.parse_args()
    sys.exit(asyncio.run(run(keep_data=arguments.keep_data)))


if __name__ == "__main__":
    main()
