"""
Check a reader's access in your own process, from a token that Newsstand signed.

    from newsstand_edge import Edge

    edge = Edge("https://newsstand.example.com", api_key=...)
    edge.start()  # once, when your process starts

    if edge.may(request, "archive"):
        ...

``request`` is your framework's request object; it only needs ``headers``, a case-insensitive mapping. A check makes no
call to Newsstand: background threads fetch the signing keys and the revocations.
"""

from newsstand_edge.edge import Answer, Edge
from newsstand_edge.feeds import ApiKeyRefused, Unavailable

__all__ = ["Answer", "ApiKeyRefused", "Edge", "Unavailable"]
