"""`python -m demo`: start the whole shop, say where it is and who can sign in, and stop it all on Ctrl-C."""

import argparse
import asyncio
import sys
import time

from demo.identity_provider.users import DEMO_PASSWORD, SEEDED
from demo.stack import Ports, Stack, StackFailed, cancel_on_signals

CARDS = (
    ("4242 4242 4242 4242", "pays"),
    ("4000 0000 0000 0002", "is declined"),
    ("4000 0027 6000 3184", "asks for 3-D Secure first"),
    ("4000 0000 0000 7726", "pays; a refund is pending for a while"),
    ("4000 0000 0000 5126", "pays; a refund fails later"),
)


def say(line: str = "") -> None:
    """Print at once, also into a pipe."""
    print(line, flush=True)


def introduce(stack: Stack) -> None:
    """Say where everything is, and what to try."""
    say()
    say(f"  The magazine      {stack.magazine}")
    say(f"  Its support desk  {stack.magazine}/desk")
    say(f"  The console       {stack.console}")
    say(f"  The API           {stack.service}/docs")
    say(f"  The local Stripe  {stack.sandbox}")
    say()
    say(f"  Sign in with the password {DEMO_PASSWORD} as")
    for person in SEEDED:
        say(f"    {person.email:<26}{', '.join(person.roles) or 'reader'}")
    say("  or make an account on the sign-in page.")
    say()
    say("  Test cards, with any date to come and any three digits:")
    for number, what in CARDS:
        say(f"    {number}  {what}")
    say()
    say("  Ctrl-C stops everything.")


async def run(*, keep_data: bool) -> int:
    """Start, stay until a signal, stop. Returns the exit status."""
    asked = cancel_on_signals(say)
    began = time.monotonic()
    say("Starting the magazine, with its own Stripe, sign-in and database ...")
    stack = Stack(Ports().or_free(say), keep_data=keep_data, say=say)
    say(f"Logs are in {stack.folder}")
    try:
        async with stack:
            say(f"Ready after {time.monotonic() - began:.1f} seconds.")
            introduce(stack)
            await stack.processes.watch()
    except StackFailed as failure:
        print(f"\nStopped: {failure}", file=sys.stderr, flush=True)
        return 1
    except asyncio.CancelledError:
        if not asked.is_set():
            raise
    if keep_data:
        say(f"Kept {stack.folder}")
    return 0


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("--keep-data", action="store_true", help="keep the folder with the database and the logs")
    arguments = parser.parse_args()
    sys.exit(asyncio.run(run(keep_data=arguments.keep_data)))


if __name__ == "__main__":
    main()
