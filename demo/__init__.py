"""
A whole magazine to try Newsstand with: a small site, a place to sign in, and what starts them.

Nothing here is imported by the service, and nothing of the service is imported here: the demo knows Newsstand
only as any publisher's site would, by its REST API, and starts it only as an operator would, by its commands.

- `python -m demo` starts everything and waits for Ctrl-C;
- `python -m demo.tour` starts everything, walks a reader's whole path by itself, and stops;
- `demo.identity_provider` is an OpenID provider, so that the service checks real tokens from the first minute;
- `demo.magazine` is the magazine: articles, a paywall, a plan card and an account page, and no billing rules.

Every password and secret in this package is public, on purpose: none of them may protect anything real.
"""
