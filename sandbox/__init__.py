"""
A local Stripe: narrow, but honest.

It speaks Stripe's HTTP API on loopback, in memory, for development and tests: the official SDK and a browser are
its clients. It imports nothing of the service it is there for, and the service imports nothing of it.

Narrow: it serves what a subscription business needs. Honest: a request is held to the SDK's own parameter types and
a reply to its resource types, so what Stripe would refuse is refused here, in Stripe's words; what Stripe knows and
the sandbox does not serve, be it a route or a parameter, is answered 501, never ignored.

The map: `http` takes a request in and finds its handler among `resources` (one noun, one file); `billing` holds what
several nouns share (amounts, invoices, charges, renewals); `store` keeps an account for each secret key; `contract`
checks both directions; `world` sends the events of whatever happened on their way, by `delivery`; `agenda` does what
falls due on a clock; `faults`, `limits`, `settings` and `control` are for tests, and every `chance` follows from a seed;
`report` tells what is served; `pages` is the hosted checkout, and the page at `/`. Only `clock` reads the time.
"""

from sandbox.constants import API_VERSION, DEFAULT_KEY, DEFAULT_SIGNING_SECRET

__all__ = ["API_VERSION", "DEFAULT_KEY", "DEFAULT_SIGNING_SECRET"]
