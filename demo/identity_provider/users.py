"""The users: a few fictional accounts, and those created while the provider runs."""

import hashlib
import hmac
import secrets
from dataclasses import dataclass, replace

from demo.identity_provider.sign_ins import SignIn

DEMO_PASSWORD = "read-all-about-it"  # public: it is shown on the sign-in page
MIN_PASSWORD_LENGTH = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A user. ``sub`` is opaque and never changes, unlike an email address."""

    sub: str
    email: str
    name: str
    roles: tuple[str, ...] = ()
    email_verified: bool = True
    session: SignIn | None = None  # the session that a token is issued for

    def get_user_id(self) -> str:
        """Return the subject of the user's tokens (called by Authlib)."""
        return self.sub


class EmailTaken(Exception):
    """An account with this email address already exists."""


DEMO_USERS = (
    User(sub="reader-ada", email="ada@example.com", name="Ada Marlowe"),
    User(sub="reader-ben", email="ben@example.com", name="Ben Okafor"),
    User(sub="staff-agent", email="agent@example.com", name="Robin Vance", roles=("support",)),
    User(sub="staff-supervisor", email="supervisor@example.com", name="Sam Iyer", roles=("support", "supervisor")),
    User(sub="staff-circulation", email="circulation@example.com", name="Lou Petit", roles=("circulation",)),
    User(sub="staff-finance", email="finance@example.com", name="Noor Haddad", roles=("finance",)),
    User(
        sub="staff-admin", email="admin@example.com", name="Alex Brandt",
        roles=("support", "supervisor", "circulation", "admin"),
    ),
)  # fmt: skip


class Users:
    """All users, in memory."""

    def __init__(self) -> None:
        self._by_email: dict[str, User] = {}
        self._by_sub: dict[str, User] = {}
        self._password_hashes: dict[str, tuple[bytes, bytes]] = {}  # salt and hash, by subject
        for user in DEMO_USERS:
            self._add(user, DEMO_PASSWORD)

    def sign_up(self, *, email: str, name: str, password: str) -> User:
        """
        Create a reader's account.

        :raises EmailTaken: if the email address is in use.
        """
        if email.casefold() in self._by_email:
            raise EmailTaken
        sub = f"reader-{secrets.token_hex(6)}"
        user = User(sub=sub, email=email.casefold(), name=name, email_verified=False)  # nothing is sent to the address
        self._add(user, password)
        return user

    def authenticate(self, email: str, password: str) -> User | None:
        """Return the user with this email address and password. An unknown address takes equally long to check."""
        user = self._by_email.get(email.casefold())
        salt, expected = self._password_hashes[user.sub] if user else (b"unknown", b"")
        return user if hmac.compare_digest(_hash(password, salt), expected) else None

    def find(self, sub: str) -> User | None:
        """Return a user by subject."""
        return self._by_sub.get(sub)

    def change_roles(self, sub: str, roles: tuple[str, ...]) -> None:
        """Change a user's roles. Tokens that are issued from now on have them."""
        user = replace(self._by_sub[sub], roles=roles)
        self._by_sub[sub] = self._by_email[user.email] = user

    def _add(self, user: User, password: str) -> None:
        salt = secrets.token_bytes(16)
        self._password_hashes[user.sub] = (salt, _hash(password, salt))
        self._by_email[user.email] = self._by_sub[user.sub] = user


def _hash(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=2**13, r=8, p=1)
