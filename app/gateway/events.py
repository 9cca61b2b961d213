"""
Read Stripe's events: which object they are about, in the shape of any API version. Pure functions, like :mod:`.translate`.

Webhook endpoints keep the API version that they were created with, so the same ID is in different places. Only IDs are used,
and which places an ID can be in is in :data:`app.domain.events.FAMILIES`.
"""

import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NoReturn, TypeGuard

from app.domain import events
from app.domain.events import InvalidEvent, RefetchRequest
from app.domain.text import is_storable

THIN = "v2.core.event"  # the object of a thin event: it names an object of the v2 API, and has no data
MAX_DEPTH = 60  # levels of a stored payload; Stripe's objects have about ten
_SURROGATE = re.compile("[\ud800-\udfff]")
TOO_DEEP = "[nested too deeply]"
UNREADABLE: Mapping[str, object] = {"unreadable": "The stored payload is not a JSON object"}


def refetch_request(text: str) -> RefetchRequest:
    """
    Return the refetch that an event requests. Only the event's IDs are used, so its API version does not matter.

    :raises InvalidEvent: the text is not an event.
    """
    try:
        event = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise InvalidEvent("The body is not JSON") from None
    if not isinstance(event, dict) or event.get("object") not in ("event", THIN):
        raise InvalidEvent("The body is not an event")
    event_id, kind = event.get("id"), event.get("type")
    is_thin = event["object"] == THIN
    thing = event.get("related_object") or {} if is_thin else _inside(event, ("data", "object"))
    if not _is_word(event_id) or not _is_word(kind) or not isinstance(thing, dict):
        raise InvalidEvent("The event lacks its ID, type or object")
    key, ignored = (None, "Thin events are not used") if is_thin else _key(kind, thing)
    livemode, version = event.get("livemode"), event.get("api_version")
    return RefetchRequest(
        event_id=event_id,
        type=kind,
        api_version=version if _is_word(version) else None,
        livemode=livemode if isinstance(livemode, bool) else None,
        object_id=thing["id"] if _is_word(thing.get("id")) else None,
        created_at=_created_at(event.get("created")),
        key=key,
        ignored=ignored,
    )


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _key(event_type: str, thing: dict[str, Any]) -> tuple[str | None, str | None]:
    """Return the key of the object to fetch, or the reason why there is none."""
    family = events.family_of(event_type)
    if family is None or family.kind is None:
        return None, "Event type is not used"
    for kind, path in family.places:
        found = _inside(thing, path)
        if isinstance(found, dict):  # an expanded object
            found = found.get("id")
        if _is_word(found):
            return f"{kind}:{found}", None
    is_known_shape = any(path[0] in thing for _, path in family.places)
    if family.unknown_shape is not None and not is_known_shape and _is_word(thing.get("id")):
        return f"{family.unknown_shape}:{thing['id']}", None
    return None, f"Not related to a {family.kind}"


def _inside(thing: object, path: tuple[str, ...]) -> Any:
    """Return what is at a path. In a list, the first item that has something there counts."""
    for index, step in enumerate(path):
        if isinstance(thing, list):
            found = (_inside(item, path[index:]) for item in thing)
            return next((one for one in found if one is not None), None)
        thing = thing.get(step) if isinstance(thing, dict) else None
    return thing


def _is_word(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and 0 < len(value) <= 255 and is_storable(value)


def _created_at(created: object) -> datetime | None:
    """Return the creation time: seconds in a snapshot event, RFC 3339 in a thin one."""
    if isinstance(created, int) and 0 <= created < 2**33:
        return datetime.fromtimestamp(created, UTC)
    try:
        at = datetime.fromisoformat(created) if isinstance(created, str) else None
    except ValueError:
        return None
    return at.astimezone(UTC) if at is not None and at.tzinfo is not None else None


def storable_payload(text: str) -> str:
    """
    Return an event's text as it is stored: as received, unless it has lone surrogates or is nested too deeply.

    Such a text is valid JSON, so the event counts, but many parsers and databases fail on it. The surrogates are replaced,
    and what is nested too deeply is left out.
    """
    suspicious = "\\ud" in text or "\\uD" in text or text.count("{") + text.count("[") > MAX_DEPTH
    if not suspicious:  # nearly always: a text of so few levels
        return text
    event = json.loads(text)
    reduced = _reduced(event)
    return text if reduced == event else json.dumps(reduced)


def readable_payload(text: str) -> Mapping[str, object]:
    """Return a stored payload in a form that can be written as JSON, even if an earlier release stored it unchecked."""
    try:
        found = _reduced(json.loads(text))
    except (ValueError, RecursionError):
        return UNREADABLE
    return found if isinstance(found, dict) else UNREADABLE


def _reduced(value: object, depth: int = 0) -> object:
    if isinstance(value, str):
        return _SURROGATE.sub("\ufffd", value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict | list) and depth >= MAX_DEPTH:
        return TOO_DEEP
    if isinstance(value, dict):
        return {str(_reduced(name)): _reduced(inner, depth + 1) for name, inner in value.items()}
    if isinstance(value, list):
        return [_reduced(inner, depth + 1) for inner in value]
    return value
