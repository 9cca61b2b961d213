"""
A complete demo of Newsstand: a small magazine site, an identity provider, and a launcher for both.

The service never imports this package, and this package never imports the service. The demo uses Newsstand as a
publisher's site would, through its REST API, and starts it as an operator would, with its commands.

- `python -m demo` starts everything and runs until Ctrl-C;
- `python -m demo.tour` starts everything, walks through a reader's journey, and stops;
- `demo.identity_provider` is an OpenID provider, so the service verifies real tokens from the start;
- `demo.magazine` is the site: articles, a paywall, a plan card and an account page, without any billing rules.

All passwords and secrets in this package are public. Never use them to protect anything real.
"""
