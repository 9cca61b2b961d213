"""
A small OpenID provider for the demo and the tests, with real keys, the authorization code flow and PKCE.

It is built from Authlib's server components: a hand-made imitation would get the service to accept what no real
provider sends. Access tokens follow RFC 9068 (`typ: at+jwt`, the API as audience, a key id), and the code flow
requires PKCE with S256.

It keeps everything in memory and shows its passwords on the sign-in page. Never expose it to the internet.
"""
