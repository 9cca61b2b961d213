"""Products."""

from sandbox.contract.requests import empty
from sandbox.errors import invalid, missing
from sandbox.http.pagination import in_range
from sandbox.http.parameters import assign, check_length, unset
from sandbox.http.routing import Call, Page, route
from sandbox.json_types import JsonObject
from sandbox.resources import tax_codes
from sandbox.store.accounts import new_id
from sandbox.store.metadata import merged

_TEXTS = "active description images marketing_features name shippable statement_descriptor tax_code unit_label url"


@route("POST", "/v1/products", takes=f"id type metadata {_TEXTS}")
def create(call: Call) -> JsonObject:
    """Create a product, optionally with a given ID."""
    account, params = call.account, call.params
    product_id = params.get("id") or new_id("prod", length=14)
    if account.find_with_deleted("product", product_id):
        raise invalid(f"Product already exists: {product_id}.", param="id", code="resource_already_exists")
    _check_texts(params)
    now = account.now()
    product: JsonObject = {
        "id": product_id,
        "object": "product",
        "active": True,
        "created": now,
        "images": [],
        "livemode": False,
        "marketing_features": [],
        "metadata": merged({}, params.get("metadata")),
        "type": params.get("type", "service"),
        "updated": now,
    }
    assign(product, params, _TEXTS)
    account.add(product)
    account.emit("product.created", product)
    return product


@route("GET", "/v1/products/{id}")
def retrieve(call: Call) -> JsonObject:
    """Retrieve a product."""
    return call.account.get("product", call.ids["id"])


@route("POST", "/v1/products/{id}", takes=f"default_price metadata {_TEXTS}")
def update(call: Call) -> JsonObject:
    """Update a product."""
    account, params = call.account, call.params
    product = account.get("product", call.ids["id"])
    _check_texts(params)
    if params.get("name") == "":
        raise empty("name")
    if params.get("default_price"):
        account.get("price", params["default_price"], param="default_price", status=400)
    with account.track_changes(product, "product.updated"):
        assign(product, params, f"default_price {_TEXTS}")
        product["images"] = product["images"] or []
        product["marketing_features"] = product["marketing_features"] or []
        product["metadata"] = merged(product["metadata"], params.get("metadata"))
        product["updated"] = account.now()
    return product


@route("GET", "/v1/products", takes="active ids type shippable url created")
def list_all(call: Call) -> Page:
    """List products by ID, `active` and other fields."""
    params = call.params
    wanted = {name: params[name] for name in ("active", "type", "shippable", "url") if name in params}
    return Page(
        [
            product
            for product in call.account.all("product")
            if all(product[name] == value for name, value in wanted.items())
            and ("ids" not in params or product["id"] in params["ids"])
            and in_range(product["created"], params.get("created"))
        ]
    )


@route("DELETE", "/v1/products/{id}")
def delete(call: Call) -> JsonObject:
    """Delete a product that has no prices."""
    account = call.account
    product = account.get("product", call.ids["id"])
    if any(price["product"] == product["id"] for price in account.all("price")):
        raise invalid("This product cannot be deleted because it has one or more user-created prices.")
    account.emit("product.deleted", product)
    return account.drop(product)


def _check_texts(params: JsonObject) -> None:
    check_length(params.get("name"), 250, param="name")
    check_length(params.get("statement_descriptor"), 22, param="statement_descriptor")
    check_length(params.get("unit_label"), 12, param="unit_label")
    code = unset(params.get("tax_code"))
    if code is not None and not tax_codes.exists(code):
        raise missing("tax code", code, param="tax_code", status=400)
