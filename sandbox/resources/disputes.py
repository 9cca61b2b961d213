"""Disputes. Nobody can dispute a charge here yet, so there are none: the lists are empty and no id is known."""

from sandbox.jsontypes import JsonObject
from sandbox.registry import Call, Page, serves


@serves("GET", "/v1/disputes/{dispute}")
def retrieve(call: Call) -> JsonObject:
    """One dispute: not found."""
    return call.account.get("dispute", call.ids["dispute"])


@serves("GET", "/v1/disputes", takes="charge created payment_intent")
def every(call: Call) -> Page:
    """No disputes."""
    return Page(call.account.all("dispute"))
