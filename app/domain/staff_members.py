"""Staff: people with a role who have signed in to the console."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

STAFF = "staff:"  # prefix of the actor; the person's ``sub`` follows
MOST_STAFF = 500  # more than a magazine has


@dataclass(frozen=True, slots=True, kw_only=True)
class StaffMember:
    """A person who has signed in to the console."""

    sub: str
    name: str
    email: str | None = None  # as the identity provider last gave it, verified or not
    roles: frozenset[str]  # including implied ones, at the last sign-in
    seen_at: datetime  # when the identity provider last confirmed the name and the roles

    def is_meant_by(self, text: str) -> bool:
        """Return whether a text is the person's ID, a part of their name, or the beginning of their email address."""
        low = text.strip().casefold()
        named = bool(low) and low in self.name.casefold()
        return named or text == self.sub or (bool(low) and (self.email or "").casefold().startswith(low))


def actor_name(actor: str, names: Mapping[str, str]) -> str:
    """
    Return what people call an actor of the audit log: ``staff:user-7`` is "Robin Vance".

    :param names: of staff by their ``sub``. Without a name, it is the ``sub``.
    """
    kind, _, name = actor.partition(":")
    match kind:
        case "staff":
            return names.get(name) or name or actor
        case "key":
            return f"API key {name}"
        case "operator":
            return f"Operator {name}"
        case "reader" | "policy" | "stripe":
            return kind.capitalize()
    return name or actor
