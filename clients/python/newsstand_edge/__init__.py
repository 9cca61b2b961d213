"""
May this reader open this? Answered beside your pages, from a token that Newsstand signed.

    from newsstand_edge import Edge

    edge = Edge("https://newsstand.example.com", api_key=...)
    edge.start()                                    # once for each process

    if edge.may(request, "archive"):
        ...

``request`` is whatever your framework calls one: all that is asked of it is ``headers``, a mapping. No question goes to
Newsstand for an answer: keys and revocations are fetched by a thread of their own.
"""

from newsstand_edge.edge import Answer, Edge
from newsstand_edge.feeds import Unavailable

__all__ = ["Answer", "Edge", "Unavailable"]
