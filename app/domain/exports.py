"""Everything that is stored about one person, as JSON and as a page that people can read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape
from typing import Any

STAFF = "a member of staff"
_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;color:#222}"
    "table{border-collapse:collapse;margin:0 0 1.5rem}th,td{border:1px solid #ccc;padding:.3rem .6rem;text-align:left;"
    "vertical-align:top;overflow-wrap:anywhere}th{background:#f4f4f4}h3{margin:1.5rem 0 .3rem}"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """What is stored about a person: here, rows by table; at Stripe, objects by kind, for each of their customers."""

    subscriber_id: str
    exported_at: datetime
    here: Mapping[str, Sequence[Mapping[str, Any]]]
    at_stripe: Sequence[Mapping[str, Any]]

    def as_json(self) -> dict[str, Any]:
        """Return the export as JSON."""
        return {
            "subscriber": self.subscriber_id,
            "exported_at": self.exported_at.isoformat(),
            "here": {name: [dict(row) for row in rows] for name, rows in self.here.items()},
            "at_stripe": [dict(one) for one in self.at_stripe],
        }


def without_staff(value: Any) -> Any:
    """Return JSON without the names of staff, who are other people."""
    if isinstance(value, Mapping):
        return {name: without_staff(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [without_staff(inner) for inner in value]
    return STAFF if isinstance(value, str) and value.startswith(("staff:", "operator:")) else value


def readable_page(export: Export) -> str:
    """Return the export as an HTML document without scripts or links."""
    parts = [f"<h1>Your data</h1><p>Exported on {export.exported_at:%Y-%m-%d %H:%M} UTC.</p><h2>At Newsstand</h2>"]
    for name, rows in export.here.items():
        parts.append(f"<h3>{escape(_title(name))}</h3>")
        parts.extend(_table(row) for row in rows)
    parts.append("<h2>At Stripe, our payment processor</h2>")
    for customer in export.at_stripe:
        for name, found in customer.items():
            parts.append(f"<h3>{escape(_title(name))}</h3>")
            parts.extend(_table(one) for one in (found if isinstance(found, list) else [found]))
    if not export.at_stripe:
        parts.append("<p>Nothing.</p>")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>Your data</title><style>{_STYLE}</style></head><body>{''.join(parts)}</body></html>"
    )


def _table(row: Mapping[str, Any]) -> str:
    cells = "".join(
        f'<tr><th scope="row">{escape(_title(name))}</th><td>{escape(value)}</td></tr>' for name, value in _flat(row)
    )
    return f"<table><tbody>{cells}</tbody></table>"


def _flat(value: object, path: str = "") -> list[tuple[str, str]]:
    """Return the values of nested JSON with the names that lead to them. Empty ones are left out."""
    if isinstance(value, Mapping):
        return [one for name, inner in value.items() for one in _flat(inner, f"{path}: {name}" if path else str(name))]
    if isinstance(value, list):
        return [one for number, inner in enumerate(value, 1) for one in _flat(inner, f"{path} {number}")]
    return [(path, str(value))] if value not in {None, ""} else []


def _title(name: str) -> str:
    text = name.replace("_", " ").replace("/", " ")
    return text[:1].upper() + text[1:]
