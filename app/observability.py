"""Structured logs without secrets, and metrics that several layers share."""

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any

import structlog
from prometheus_client import Counter, Histogram

REFUSALS = Counter("newsstand_refusals", "Requests refused, by problem code", ["code"])
EVENT_TRIES = Counter(
    "newsstand_event_tries_total",
    "Attempts to apply an event, by outcome: applied, ignored, failed, waits (Stripe or the database is unavailable), dead",
    ["outcome"],
)
EVENT_LAG = Histogram(
    "newsstand_event_lag_seconds",
    "Time from receiving an event to applying it",
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 21600, 86400),
)

# Anything that looks like a secret or a card number is redacted, wherever it is in a log line.
_SECRET = re.compile(
    r"(?:sk|rk)_(?:live|test)_\w+|whsec_\w+|nsk_[\w-]+|eyJ[\w-]+\.[\w-]+\.[\w-]*"
    r"|://[^/\s:@]+:[^/\s@]+@|\b\d(?:[ -]?\d){12,18}\b"
)
_NAMES = frozenset(
    {"authorization", "cookie", "password", "secret", "client_secret", "token", "api_key", "card", "number", "cvc"}
)
REDACTED = "[redacted]"


def redact(value: object, *, also: frozenset[str] = frozenset()) -> object:
    """
    Return ``value`` without secrets, tokens and card numbers, to any depth.

    :param also: additional names whose values are redacted.
    """
    if isinstance(value, str):
        return _SECRET.sub(REDACTED, value)
    if isinstance(value, Mapping):
        return {k: _without(str(k), v, also) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [redact(v, also=also) for v in value]
    return value


def _without(name: str, value: object, also: frozenset[str]) -> object:
    if value is not None and (name.lower() in _NAMES or name in also):
        return REDACTED
    return redact(value, also=also)


def _redact_line(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for name in list(event):
        event[name] = REDACTED if name.lower() in _NAMES else redact(event[name])
    return event


def configure(level: str = "INFO") -> None:
    """Write every log line, including those of libraries, to standard error as a JSON object."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _redact_line,
    ]
    structlog.configure(
        processors=[*shared, structlog.processors.JSONRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    logging.getLogger("uvicorn.access").disabled = True  # our own middleware logs each request, with its ID
    for noisy in ("alembic", "stripe", "aiohttp", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
