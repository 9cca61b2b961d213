"""
A small OpenID provider for the demo and the tests: real keys, real codes, real PKCE, invented people.

It is made of Authlib's server parts, because a hand-made imitation would teach the service to accept what no
provider sends. Access tokens follow RFC 9068 (`typ: at+jwt`, an audience that is the API, a key id), and the
code flow insists on PKCE with S256 at both ends.

It keeps everything in memory and prints its passwords on its sign-in page: it must never face the internet.
"""
