"""
Read Stripe's events: which object they are about, in the shape of any API version. Pure functions, like :mod:`.translate`.

Webhook endpoints keep the API version that they were created with, so the same ID is in different places. Only IDs are used,
and which places an ID can be in is in :data:`app.domain.events.FAMILIES`.
"""

import json
import re
from datetime import UTC, datetime
from typing import Any, NoReturn, TypeGuard

from app.domain import events
from app.domain.events import InvalidEvent, RefetchRequest
from app.domain.text import is_storable

THIN = "v2.core.event"  # the object of a thin event: it names an object of the v2 API, and has no data
MAX_DEPTH = 10  # levels in which IDs are looked for
_ID = re.compile("[A-Za-z0-9_-]{1,255}")
_PATHS = tuple(path for family in events.FAMILIES.values() for _, path in family.places)
_ID_NAMES = frozenset({"id", "customer"} | {path[-1] for path in _PATHS})
_ID_PLACES = _ID_NAMES | {step for path in _PATHS for step in path}
_EVENT_WORDS = ("id", "object", "type", "api_version")


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


def reduced_payload(text: str) -> str:
    """
    Return what is stored of an event's text: the IDs, type, version and times that are used, and nothing about a person.

    That is enough to find out again which object the event is about, in the shape of any API version and also if only a
    later release uses the type. What is not an event becomes an empty object.
    """
    try:
        event = json.loads(text)
    except (ValueError, RecursionError):
        return "{}"
    if not isinstance(event, dict):
        return "{}"
    kept: dict[str, Any] = {name: event[name] for name in _EVENT_WORDS if _is_word(event.get(name))}
    if isinstance(event.get("livemode"), bool):
        kept["livemode"] = event["livemode"]
    if _created_at(event.get("created")) is not None:
        kept["created"] = event["created"]
    if "related_object" in event:  # of a thin event
        kept["related_object"] = _ids(event["related_object"])
    if "data" in event:
        kept["data"] = {"object": _ids(_inside(event, ("data", "object")))}
    return json.dumps(kept)


def _ids(value: object, name: str = "", depth: int = 0) -> object:
    """
    Return an object's IDs, at the places where they are looked for. Any other value becomes False.

    What is absent stays absent and what is null stays null, because that tells the shapes of API versions apart.
    """
    if value is None:
        return None
    if isinstance(value, dict) and depth < MAX_DEPTH:
        return {key: _ids(inner, key, depth + 1) for key, inner in value.items() if key in _ID_PLACES}
    if isinstance(value, list) and depth < MAX_DEPTH:
        items = [_ids(item, depth=depth + 1) for item in value]
        for item in items:
            if isinstance(item, dict):
                item.pop(
                    "id", None
                )  # of the item itself: an invoice's lines matter for the subscription that they name
        return list({json.dumps(item): item for item in items}.values())
    return value if name in _ID_NAMES and isinstance(value, str) and _ID.fullmatch(value) else False
