"""Structured logs without secrets, and metrics that several layers share."""

import json
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

WEBHOOK_ATTEMPTS = Counter(
    "newsstand_webhook_attempts_total",
    "Attempts to deliver an event to a webhook endpoint, by outcome: delivered, retried, failed (given up)",
    ["outcome"],
)
WEBHOOK_ENDPOINTS_DISABLED = Counter(
    "newsstand_webhook_endpoints_disabled_total", "Webhook endpoints that were disabled because they kept failing"
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
LONGEST_FIELD = 1_000  # characters of a field of a log line
LONGEST_TRACEBACK = 10_000  # characters
MOST_ITEMS = 50  # of a list or an object in a field
NOISY = ("alembic", "stripe", "aiohttp", "asyncio")  # libraries of which only warnings are logged
ACCESS_LOG = "uvicorn.access"  # is off: our own middleware logs each request, with its ID


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
        longest = LONGEST_TRACEBACK if name == "exception" else LONGEST_FIELD
        event[name] = REDACTED if name.lower() in _NAMES else shortened(event[name], longest)
    return event


def shortened(value: object, longest: int = LONGEST_FIELD) -> object:
    """
    Return a value of a log field without secrets, in at most about ``longest`` characters.

    What is left out at the end is counted. A value that is not a string, a number, a list or an object becomes a string.
    """
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        # Cut before the search for secrets too, which takes time for a long text, and after it, so that none is cut in two.
        text = str(redact(value[: 4 * longest]))
        cut = max(0, len(value) - 4 * longest) + max(0, len(text) - longest)
        return f"{text[:longest]}… ({cut} more characters)" if cut else text
    if isinstance(value, Mapping | list | tuple):
        within = redact(_few(value))
        text = json.dumps(within, default=str, ensure_ascii=False)
        return within if len(text) <= longest else shortened(text, longest)
    return shortened(str(value), longest)


def _few(value: object) -> object:
    """Return the first items of a list or an object, to any depth, with short texts."""
    if isinstance(value, Mapping):
        return {str(k)[:100]: _few(v) for k, v in list(value.items())[:MOST_ITEMS]}
    if isinstance(value, list | tuple):
        return [_few(v) for v in value[:MOST_ITEMS]]
    return value[:LONGEST_FIELD] if isinstance(value, str) else value


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
    logging.getLogger(ACCESS_LOG).disabled = True
    for noisy in NOISY:
        logging.getLogger(noisy).setLevel(logging.WARNING)
