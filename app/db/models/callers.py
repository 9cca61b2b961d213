"""Who calls: console sessions of staff, sign-outs, and API keys of servers."""

from datetime import datetime

from sqlalchemy import func
from sqlalchemy.orm import Mapped, mapped_column

from app.db.models.base import Base


class StaffSession(Base):
    """A session of the console. The browser's cookie has its ID, encrypted."""

    __tablename__ = "staff_sessions"
    id: Mapped[str] = mapped_column(primary_key=True)  # ses_…
    sub: Mapped[str] = mapped_column(index=True)
    name: Mapped[str]
    roles: Mapped[list[str]]  # including implied ones
    sid: Mapped[str | None] = mapped_column(index=True)  # the identity provider's ID of its own session
    started_at: Mapped[datetime] = mapped_column(index=True)
    signed_in_at: Mapped[datetime | None]  # when the person entered their credentials
    acr: Mapped[str | None]
    checked_at: Mapped[datetime]  # when the provider last confirmed the roles
    checking_until: Mapped[datetime | None]  # while a process asks the provider
    refresh_token: Mapped[str | None]  # encrypted; NULL: none was issued, or the session has ended
    ended_at: Mapped[datetime | None]


class StaffMember(Base):
    """A person with a role who has signed in to the console, with the name that pages show for them."""

    __tablename__ = "staff_members"
    sub: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    email: Mapped[str | None]  # NULL: the identity provider gave none
    roles: Mapped[list[str]]  # including implied ones
    seen_at: Mapped[datetime] = mapped_column(index=True)  # when the identity provider last confirmed these


class SignOut(Base):
    """The last time a person signed out, or was signed out. Earlier sessions, and tokens of staff, are invalid."""

    __tablename__ = "sign_outs"
    sub: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[datetime]


class LogoutToken(Base):
    """A logout token of the identity provider that was used, kept until it expires so that it isn't used again."""

    __tablename__ = "logout_tokens"
    hash: Mapped[str] = mapped_column(primary_key=True)  # SHA-256 of its `jti`
    until: Mapped[datetime]


class ApiKey(Base):
    """An API key, stored as the hash of more than 200 random bits. It is shown only once, when it is created."""

    __tablename__ = "api_keys"
    id: Mapped[str] = mapped_column(primary_key=True)  # key_…
    hash: Mapped[str] = mapped_column(unique=True)  # SHA-256, hexadecimal
    name: Mapped[str]
    scopes: Mapped[list[str]]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    created_by: Mapped[str | None]  # NULL: before this was recorded
    expires_at: Mapped[datetime | None]  # NULL: never
    last_used_at: Mapped[datetime | None]  # to within minutes
    replaced_by: Mapped[str | None]  # the key that it was rotated to
    revoked_at: Mapped[datetime | None]
