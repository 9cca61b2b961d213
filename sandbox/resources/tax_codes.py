"""The tax codes that a magazine may need."""

from sandbox.errors import missing
from sandbox.http.routing import Call, Page, route
from sandbox.json_types import JsonObject

_CODES = {
    "txcd_00000000": ("Nontaxable", "Any nontaxable good or service."),
    "txcd_10000000": ("General - Electronically Supplied Services", "A digital service provided over the internet."),
    "txcd_10303000": ("Digital Magazines/Periodicals - downloaded", "A magazine that is downloaded and kept."),
    "txcd_10303001": (
        "Digital Magazines/Periodicals with print",
        "A digital magazine together with its print edition.",
    ),
    "txcd_10303002": ("Digital Magazines/Periodicals - viewable only", "A magazine that is viewed and not kept."),
    "txcd_35020200": ("Periodicals - print", "A printed magazine, sent by mail."),
    "txcd_92010001": ("Shipping", "Postage and handling."),
    "txcd_99999999": ("General - Tangible Goods", "Any physical good."),
}


def exists(code: str) -> bool:
    """Return whether a tax code is supported."""
    return code in _CODES


@route("GET", "/v1/tax_codes")
def list_all(call: Call) -> Page:
    """List all tax codes."""
    return Page([_shape(code) for code in _CODES])


@route("GET", "/v1/tax_codes/{id}")
def retrieve(call: Call) -> JsonObject:
    """Retrieve a tax code."""
    code = call.ids["id"]
    if not exists(code):
        raise missing("tax code", code)
    return _shape(code)


def _shape(code: str) -> JsonObject:
    name, description = _CODES[code]
    return {"id": code, "object": "tax_code", "name": name, "description": description}
