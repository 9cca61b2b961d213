"""The data of the dashboard: tables of objects with links, events and their deliveries."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import urlencode

from sandbox.json_types import Json, JsonObject
from sandbox.pages.formatting import money
from sandbox.runtime import Runtime
from sandbox.store.accounts import Account

_ROWS = 20
_EVENTS = 25
_MAX_DEPTH = 12


@dataclass(frozen=True, kw_only=True)
class Cell:
    """Text, linked if it names an object."""

    text: str
    link: str | None = None
    tone: str = ""
    """`good`, `bad` or empty."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """Objects of one kind, newest first."""

    title: str
    columns: list[str]
    rows: list[list[Cell]]
    count: int


@dataclass(frozen=True, kw_only=True)
class Event:
    """An event and its delivery attempts."""

    id: str
    kind: str
    at: str
    link: str
    about: Cell
    attempts: list[Cell]
    pending: int


@dataclass(kw_only=True)
class Overview:
    """Everything the dashboard shows of an account."""

    tables: list[Table] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    event_count: int = 0
    endpoints: list[Cell] = field(default_factory=list)
    under_way: int = 0
    held: int = 0
    waiting: int = 0


_SUCCESS = {"active", "trialing", "paid", "succeeded", "complete", "ready"}
_FAILURE = {"past_due", "unpaid", "canceled", "incomplete_expired", "failed", "expired", "void", "uncollectible"}
_TABLES: dict[str, tuple[str, dict[str, str]]] = {
    "customer": ("Customers", {"Name": "name", "Email": "email"}),
    "subscription": ("Subscriptions", {"Status": "status", "Customer": "customer", "Invoice": "latest_invoice"}),
    "invoice": ("Invoices", {"Status": "status", "Total": "total", "Customer": "customer"}),
    "payment_intent": ("Payments", {"Status": "status", "Amount": "amount", "Customer": "customer"}),
    "refund": ("Refunds", {"Status": "status", "Amount": "amount", "Payment": "payment_intent"}),
    "checkout.session": ("Checkout sessions", {"Status": "status", "Total": "amount_total", "Customer": "customer"}),
}
"""Title and columns of each table, by kind. Columns map headings to fields."""
_MONEY = {"total", "amount", "amount_total"}


def overview(runtime: Runtime, account: Account) -> Overview:
    """Return the current data of an account."""
    events = account.all("event")
    return Overview(
        tables=[_table(account, kind) for kind in _TABLES],
        events=[_event(account, event) for event in events[:_EVENTS]],
        event_count=len(events),
        endpoints=[
            Cell(text=one["url"], link=link(account, one["id"]), tone="" if one["status"] == "enabled" else "bad")
            for one in account.all("webhook_endpoint")
        ],
        under_way=runtime.delivery.under_way(account),
        held=runtime.delivery.held(account),
        waiting=len(runtime.delivery.waiting(account)),
    )


def link(account: Account, object_id: str) -> str:
    """Return the URL of an object's page."""
    return f"/?{urlencode({'key': account.key, 'object': object_id})}"


def format_time(second: float) -> str:
    """Return a time in UTC as text."""
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%d %H:%M:%S")


def outline(account: Account, value: Json, *, depth: int = 0) -> list[tuple[int, str, Cell]]:
    """Return an object as lines of depth, name and value. IDs of other objects are links."""
    numbered = {f"[{index}]": inner for index, inner in enumerate(value)} if isinstance(value, list) else {}
    pairs = value.items() if isinstance(value, dict) else numbered.items()
    lines: list[tuple[int, str, Cell]] = []
    for name, inner in pairs:
        if isinstance(inner, dict | list) and inner and depth < _MAX_DEPTH:
            lines.append((depth, str(name), Cell(text="")))
            lines += outline(account, inner, depth=depth + 1)
        else:
            lines.append((depth, str(name), _value(account, str(name), inner)))
    return lines


def _value(account: Account, name: str, value: Json) -> Cell:
    if isinstance(value, str):
        found = account.find_by_id(value) if name != "id" and 3 < len(value) < 256 else None
        return Cell(text=value, link=link(account, value) if found else None, tone=_tone(value))
    if isinstance(value, bool) or value is None:
        return Cell(text={True: "true", False: "false", None: "null"}[value], tone="muted")
    if isinstance(value, int) and value > 10**9 and name.endswith(("created", "_at", "start", "end", "_time")):
        return Cell(text=f"{value} ({format_time(value)})")
    return Cell(text=str(value))


def _table(account: Account, kind: str) -> Table:
    title, columns = _TABLES[kind]
    objects = account.all(kind)
    return Table(
        title=title,
        columns=["ID", *columns],
        rows=[
            [
                Cell(text=obj["id"], link=link(account, obj["id"])),
                *(_cell(account, obj, n) for n in columns.values()),
            ]
            for obj in objects[:_ROWS]
        ],
        count=len(objects),
    )


def _cell(account: Account, obj: JsonObject, name: str) -> Cell:
    value = obj.get(name)
    if value is None:
        return Cell(text="–", tone="muted")
    if name in _MONEY and isinstance(value, int):
        return Cell(text=money(value, obj["currency"]))
    if isinstance(value, str) and account.find_by_id(value):
        return Cell(text=value, link=link(account, value))
    return Cell(text=str(value), tone=_tone(str(value)))


def _tone(word: str) -> str:
    return "good" if word in _SUCCESS else "bad" if word in _FAILURE else ""


def _event(account: Account, event: JsonObject) -> Event:
    obj = event["data"]["object"]
    about = str(obj.get("id", obj["object"]))
    attempts = [
        Cell(text=str(attempt["status"] or attempt["error"] or "…"), tone=_outcome(attempt))
        for attempt in account.deliveries
        if attempt["event"] == event["id"]
    ]
    return Event(
        id=event["id"],
        kind=event["type"],
        at=format_time(event["created"]),
        link=link(account, event["id"]),
        about=Cell(text=about, link=link(account, about) if account.find_by_id(about) else None),
        attempts=attempts,
        pending=event["pending_webhooks"],
    )


def _outcome(attempt: JsonObject) -> str:
    if attempt["status"] is None and attempt["error"] is None:
        return ""
    return "good" if attempt["status"] is not None and 200 <= attempt["status"] < 300 else "bad"
