"""What an ``Idempotency-Key`` must be, and why one is refused. What it does is told in ``services.idempotency``."""

from app.domain.errors import DomainError

LONGEST_KEY = 255


class IdempotencyKeyRequired(DomainError):
    """This request moves money, so it needs an Idempotency-Key header: a fresh value for each intent."""

    code = "idempotency_key_required"


class IdempotencyKeyInvalid(DomainError):
    """An Idempotency-Key is 1 to 255 visible ASCII characters."""

    code = "idempotency_key_invalid"


class IdempotencyKeyReused(DomainError):
    """The same Idempotency-Key was used with another body."""

    code = "idempotency_key_reused"


class IdempotencyKeyInUse(DomainError):
    """The first request with this Idempotency-Key is still running. Try again for its answer."""

    code = "idempotency_key_in_use"


def check_key(key: str | None) -> str:
    """
    Return a key that can be used.

    :raises IdempotencyKeyRequired: there is none.
    :raises IdempotencyKeyInvalid: it is too long, or not visible ASCII.
    """
    if not key:
        raise IdempotencyKeyRequired
    if len(key) > LONGEST_KEY or not all("!" <= character <= "~" for character in key):
        raise IdempotencyKeyInvalid
    return key
