"""Webhook endpoints. The secret is returned only when an endpoint is created."""

from urllib.parse import urlsplit

from sandbox.delivery.older_versions import SUPPORTED_VERSIONS
from sandbox.errors import invalid
from sandbox.http.parameters import unset
from sandbox.http.routing import Call, Page, route
from sandbox.json_types import JsonObject
from sandbox.store.accounts import Account, new_id
from sandbox.store.metadata import merged

_MAX_ENDPOINTS = 16


def register(
    account: Account, *, url: str, enabled_events: list[str], secret: str | None = None, api_version: str | None = None
) -> JsonObject:
    """Create an endpoint, with a generated secret unless one is given."""
    endpoint: JsonObject = {
        "id": new_id("we"),
        "object": "webhook_endpoint",
        "api_version": api_version,
        "application": None,
        "created": account.now(),
        "description": None,
        "enabled_events": enabled_events,
        "livemode": False,
        "metadata": {},
        "status": "enabled",
        "url": url,
        "_secret": secret or new_id("whsec", length=32),
    }
    account.add(endpoint)
    del endpoint["secret"]
    return endpoint


@route("POST", "/v1/webhook_endpoints", takes="api_version description enabled_events metadata url")
def create(call: Call) -> JsonObject:
    """Create an endpoint. Only this response contains its secret."""
    account, params = call.account, call.params
    _check_url(params["url"])
    version = params.get("api_version")
    if version not in (None, *SUPPORTED_VERSIONS):
        known = " and ".join(SUPPORTED_VERSIONS)
        raise invalid(f"Invalid api_version: the sandbox supports {known} only.", param="api_version")
    if len(account.all("webhook_endpoint")) >= _MAX_ENDPOINTS:
        raise invalid(f"You have reached the maximum of {_MAX_ENDPOINTS} test webhook endpoints.")
    endpoint = register(
        account, url=params["url"], enabled_events=params["enabled_events"], api_version=params.get("api_version")
    )
    endpoint["description"] = params.get("description")
    endpoint["metadata"] = merged({}, params.get("metadata"))
    return {**endpoint, "secret": endpoint["_secret"]}


@route("GET", "/v1/webhook_endpoints/{webhook_endpoint}")
def retrieve(call: Call) -> JsonObject:
    """Retrieve an endpoint, without its secret."""
    return call.account.get("webhook_endpoint", call.ids["webhook_endpoint"])


@route("GET", "/v1/webhook_endpoints")
def list_all(call: Call) -> Page:
    """List all endpoints."""
    return Page(call.account.all("webhook_endpoint"))


@route("POST", "/v1/webhook_endpoints/{webhook_endpoint}", takes="description disabled enabled_events metadata url")
def update(call: Call) -> JsonObject:
    """Update or disable an endpoint."""
    params = call.params
    endpoint = call.account.get("webhook_endpoint", call.ids["webhook_endpoint"])
    if "url" in params:
        _check_url(params["url"])
        endpoint["url"] = params["url"]
    if "enabled_events" in params:
        endpoint["enabled_events"] = params["enabled_events"]
    if "description" in params:
        endpoint["description"] = unset(params["description"])
    if "disabled" in params:
        endpoint["status"] = "disabled" if params["disabled"] else "enabled"
    endpoint["metadata"] = merged(endpoint["metadata"], params.get("metadata"))
    return endpoint


@route("DELETE", "/v1/webhook_endpoints/{webhook_endpoint}")
def delete(call: Call) -> JsonObject:
    """Delete an endpoint and its pending deliveries."""
    return call.account.drop(call.account.get("webhook_endpoint", call.ids["webhook_endpoint"]))


def _check_url(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise invalid(
            "Invalid URL: An explicit scheme (such as https) must be provided.", param="url", code="url_invalid"
        )
