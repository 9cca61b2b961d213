"""
Idempotency keys: the first reply to a key is kept, whatever it was, and given again.

A request that never began is not kept: one that fails the parameter check, or meets its own key in use.
"""

import hashlib
import json
from dataclasses import dataclass, field

from sandbox.errors import StripeError
from sandbox.json_types import JsonObject


@dataclass(kw_only=True)
class Reply:
    """A reply as it is kept: its status, its JSON body, and the id of the request that made it."""

    status: int
    body: JsonObject
    request_id: str


@dataclass
class _Record:
    endpoint: str
    fingerprint: str
    reply: Reply | None = None


@dataclass
class IdempotencyKeys:
    """The keys of one account."""

    _records: dict[str, _Record] = field(default_factory=dict)

    def begin(self, key: str, *, endpoint: str, params: JsonObject) -> Reply | None:
        """
        Take a key into use, or return the reply that it has already.

        :raises StripeError: 400 `idempotency_error` if the key was used for something else, 409
            `idempotency_key_in_use` if its first request is still under way.
        """
        if len(key) > 255:
            raise StripeError(400, "idempotency_error", "Idempotency keys may have at most 255 characters.")
        fingerprint = hashlib.sha256(json.dumps(params, sort_keys=True).encode()).hexdigest()
        record = self._records.get(key)
        if record is None:
            self._records[key] = _Record(endpoint, fingerprint)
            return None
        if record.endpoint != endpoint:
            raise StripeError(
                400,
                "idempotency_error",
                "Keys for idempotent requests can only be used for the same endpoint they were first used for "
                f"('{record.endpoint}' vs '{endpoint}'). Try using a key other than '{key}' if you meant to execute "
                "a different request.",
            )
        if record.fingerprint != fingerprint:
            raise StripeError(
                400,
                "idempotency_error",
                "Keys for idempotent requests can only be used with the same parameters they were first used with. "
                f"Try using a key other than '{key}' if you meant to execute a different request.",
            )
        if record.reply is None:
            raise StripeError(
                409,
                "idempotency_error",
                f"There is currently another in-progress request using this Idempotent Key: {key}. This can happen if "
                "a request is retried before the first one has finished.",
                code="idempotency_key_in_use",
            )
        return record.reply

    def finish(self, key: str, reply: Reply) -> None:
        """Keep the reply to a key."""
        self._records[key].reply = reply

    def release(self, key: str) -> None:
        """Forget a key whose request did not begin after all."""
        record = self._records.get(key)
        if record is not None and record.reply is None:
            del self._records[key]
