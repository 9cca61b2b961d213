"""
A local Stripe for development and tests.

It serves a subset of Stripe's HTTP API on loopback and keeps everything in memory. Its clients are the official SDK and
a browser. It does not import `app`, and `app` does not import it.

Requests are validated against the SDK's parameter types and responses against its resource types. Invalid requests fail
with Stripe's own error. Routes and parameters that Stripe has and the sandbox does not support return 501; they are
never ignored.

Packages:

- `http`: parses a request, finds its handler and serializes the response.
- `resources`: the API's routes, one file for each resource.
- `billing`: what several resources share, such as invoices, payments and renewals.
- `store`: accounts and their objects, one account for each secret key, and their scheduled jobs.
- `contract`: validation against the SDK's types.
- `delivery`: signed webhooks and their retries.
- `faults`: injected errors, time-outs and broken responses.
- `control`: the control API for tests, below `/_sandbox`.
- `pages`: the hosted checkout page, and the dashboard at `/`.

Only `clock` reads the system time. Everything random depends on a seed (`seeded_random`).
"""

from sandbox.constants import API_VERSION, DEFAULT_KEY, DEFAULT_SIGNING_SECRET

__all__ = ["API_VERSION", "DEFAULT_KEY", "DEFAULT_SIGNING_SECRET"]
