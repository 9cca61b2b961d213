"""
What is kept encrypted in the database, and with what.

The secrets come from NEWSSTAND_TOKEN_SECRETS; with none, one is made in NEWSSTAND_DATA_DIR, which is enough while all
processes share that folder. The first secret seals, all of them open: so one can be replaced.
"""

import base64
import os
import secrets
from collections.abc import Sequence
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from app.settings import Settings

FILE = "token-secret"


class Seal:
    """Seals and opens texts. The secret in the folder is read, or made, when it is first needed."""

    def __init__(self, given: Sequence[str], folder: Path) -> None:
        self._given, self._folder = given, folder
        self._fernet: MultiFernet | None = None

    def close(self, text: str) -> str:
        """Return ``text``, sealed."""
        return self._ready().encrypt(text.encode()).decode()

    def open(self, sealed: str) -> str | None:
        """Return what was sealed; None: with none of our secrets."""
        try:
            return self._ready().decrypt(sealed.encode()).decode()
        except InvalidToken:
            return None

    def _ready(self) -> MultiFernet:
        if self._fernet is None:
            self._fernet = MultiFernet([Fernet(_key(one)) for one in self._given or [_kept_in(self._folder)]])
        return self._fernet


def seal_of(settings: Settings) -> Seal:
    """Return what the settings tell to seal with."""
    return Seal([secret.get_secret_value() for secret in settings.token_secrets], settings.data_dir)


def _key(secret: str) -> bytes:
    made = HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=b"newsstand signing keys").derive(secret.encode())
    return base64.urlsafe_b64encode(made)


def _kept_in(folder: Path) -> str:
    """Return the folder's secret, made if absent: whole at once, so that no other process reads half of it."""
    place = folder / FILE
    if not place.exists():
        folder.mkdir(parents=True, exist_ok=True)
        draft = folder / f"{FILE}.{secrets.token_hex(8)}"
        with os.fdopen(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as out:
            out.write(secrets.token_urlsafe(48))
        try:
            os.link(draft, place)  # fails when another process was quicker: then its secret counts
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return place.read_text()
