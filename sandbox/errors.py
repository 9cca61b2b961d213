"""Stripe's errors: one exception, and a function for each common kind."""

from sandbox.json_types import JsonObject


class StripeError(Exception):
    """An error response in Stripe's format. `status` is the HTTP status; other members are added to the error object."""

    def __init__(self, status: int, kind: str, message: str, /, **members: object) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.message = message
        self.members = {name: value for name, value in members.items() if value is not None}

    def body(self) -> JsonObject:
        """Return the JSON body of the response."""
        error: JsonObject = {"type": self.kind, "message": self.message, **self.members}
        code = self.members.get("code")
        if isinstance(code, str) and not code.startswith("sandbox_"):
            error["doc_url"] = f"https://stripe.com/docs/error-codes/{code.replace('_', '-')}"
        return {"error": error}


def invalid(message: str, *, param: str | None = None, code: str | None = None, status: int = 400) -> StripeError:
    """Return an `invalid_request_error`."""
    return StripeError(status, "invalid_request_error", message, param=param, code=code)


def missing(noun: str, object_id: str, *, param: str | None = None, status: int = 404) -> StripeError:
    """Return Stripe's 404 `resource_missing`. `noun` is Stripe's word, such as `customer` or `payment_intent`."""
    return invalid(f"No such {noun}: '{object_id}'", param=param or "id", code="resource_missing", status=status)


def unsupported(what: str) -> StripeError:
    """Return the sandbox's own 501 for something that Stripe supports and the sandbox does not."""
    message = f"The sandbox does not support {what}, although Stripe does."
    return StripeError(501, "api_error", message, code="sandbox_not_supported")
