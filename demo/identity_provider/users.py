"""Who can sign in: a few invented people, and whoever signs up while the issuer runs."""

import hashlib
import hmac
import secrets
from dataclasses import dataclass

DEMO_PASSWORD = "read-all-about-it"  # public by design: it is printed on the sign-in page
MINIMUM_PASSWORD = 8  # characters


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody known to the issuer. `sub` never changes and tells nothing; an email address may do both."""

    sub: str
    email: str
    name: str
    roles: tuple[str, ...] = ()

    def get_user_id(self) -> str:
        """Return the subject of their tokens (asked by Authlib)."""
        return self.sub


class EmailTaken(Exception):
    """Somebody has already signed up with this address."""


SEEDED = (
    Person(sub="reader-ada", email="ada@example.com", name="Ada Marlowe"),
    Person(sub="reader-ben", email="ben@example.com", name="Ben Okafor"),
    Person(sub="staff-agent", email="agent@example.com", name="Robin Vance", roles=("support",)),
    Person(
        sub="staff-supervisor", email="supervisor@example.com", name="Sam Iyer", roles=("support", "supervisor")
    ),
    Person(sub="staff-circulation", email="circulation@example.com", name="Lou Petit", roles=("circulation",)),
    Person(
        sub="staff-admin", email="admin@example.com", name="Alex Brandt",
        roles=("support", "supervisor", "circulation", "admin"),
    ),
)  # fmt: skip


class People:
    """Everybody who can sign in, in memory."""

    def __init__(self) -> None:
        self._by_email: dict[str, Person] = {}
        self._by_sub: dict[str, Person] = {}
        self._passwords: dict[str, tuple[bytes, bytes]] = {}
        for person in SEEDED:
            self._add(person, DEMO_PASSWORD)

    def sign_up(self, *, email: str, name: str, password: str) -> Person:
        """
        Make a new reader.

        :raises EmailTaken: if the address is known.
        """
        if email.casefold() in self._by_email:
            raise EmailTaken
        person = Person(sub=f"reader-{secrets.token_hex(6)}", email=email.casefold(), name=name)
        self._add(person, password)
        return person

    def authenticate(self, email: str, password: str) -> Person | None:
        """Return who has this address and password, or nobody. Takes as long for an unknown address as for a known."""
        person = self._by_email.get(email.casefold())
        salt, kept = self._passwords[person.sub] if person else (b"nobody", b"")
        return person if hmac.compare_digest(_digest(password, salt), kept) else None

    def find(self, sub: str) -> Person | None:
        """Return a person by subject."""
        return self._by_sub.get(sub)

    def _add(self, person: Person, password: str) -> None:
        salt = secrets.token_bytes(16)
        self._passwords[person.sub] = (salt, _digest(password, salt))
        self._by_email[person.email] = self._by_sub[person.sub] = person


def _digest(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=2**13, r=8, p=1)
