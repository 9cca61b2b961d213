"""
Encrypt short texts with Fernet: token signing keys and webhook secrets in the database, and the console's cookies.

The keys are derived from secrets with HKDF. Each purpose has keys of its own, so a text that was encrypted for one purpose
can't be decrypted for another.
"""

import base64
import os
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from secrets import token_hex, token_urlsafe

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import SecretStr

FILE = "token-secret"


class NoSecret(Exception):
    """There is no secret to encrypt with. The message names the setting."""


class Cipher:
    """Encrypts and decrypts for one purpose. The first secret encrypts, all of them decrypt, so they can be rotated."""

    def __init__(self, load_secrets: Callable[[], Sequence[str]], *, purpose: str) -> None:
        """:param load_secrets: called on first use."""
        self._load_secrets, self._purpose = load_secrets, purpose.encode()
        self._fernet: MultiFernet | None = None

    def encrypt(self, text: str, *, now: datetime | None = None) -> str:
        """Return a token with the encrypted text. It contains the time: ``now``, or the system's."""
        if now is None:
            return self._keys().encrypt(text.encode()).decode()
        return self._keys().encrypt_at_time(text.encode(), int(now.timestamp())).decode()

    def decrypt(self, token: str) -> str | None:
        """Return the text of a token, or None if it was not encrypted with one of the secrets for this purpose."""
        try:
            return self._keys().decrypt(token.encode()).decode()
        except InvalidToken:
            return None

    def decrypt_recent(self, token: str, *, max_age: timedelta, now: datetime) -> str | None:
        """Return the text of a token, or None if it is older than ``max_age`` or :meth:`decrypt` returns None."""
        try:
            text = self._keys().decrypt_at_time(
                token.encode(), ttl=int(max_age.total_seconds()), current_time=int(now.timestamp())
            )
        except InvalidToken:
            return None
        return text.decode()

    def _keys(self) -> MultiFernet:
        if self._fernet is None:
            self._fernet = MultiFernet([Fernet(self._derive(secret)) for secret in self._load_secrets()])
        return self._fernet

    def _derive(self, secret: str) -> bytes:
        derivation = HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=self._purpose)
        return base64.urlsafe_b64encode(derivation.derive(secret.encode()))


def signing_key_cipher(secrets: Sequence[SecretStr], folder: Path) -> Cipher:
    """
    Return the cipher of the token signing keys.

    :param secrets: NEWSSTAND_TOKEN_SECRETS. If empty, a secret is generated in ``folder``, which suffices while all
        processes share that folder.
    """
    return _cipher(secrets, folder, purpose="newsstand signing keys")


def webhook_secret_cipher(secrets: Sequence[SecretStr], folder: Path) -> Cipher:
    """Return the cipher of the secrets of webhook endpoints; the parameters as for :func:`signing_key_cipher`."""
    return _cipher(secrets, folder, purpose="newsstand webhook secrets")


def _cipher(secrets: Sequence[SecretStr], folder: Path, *, purpose: str) -> Cipher:
    values = [secret.get_secret_value() for secret in secrets]
    return Cipher(lambda: values or [_read_or_create_secret(folder)], purpose=purpose)


def _read_or_create_secret(folder: Path) -> str:
    """
    Return the secret in a folder. A new one is created atomically, so that no other process reads an incomplete file.

    :raises NoSecret: the folder can't be read or written.
    """
    try:
        return _create_secret(folder / FILE)
    except OSError as wrong:
        raise NoSecret(
            f"NEWSSTAND_TOKEN_SECRETS is required: it is not set, and no secret can be kept in NEWSSTAND_DATA_DIR "
            f"({wrong.strerror})"
        ) from None


def _create_secret(path: Path) -> str:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f"{FILE}.{token_hex(8)}")
        with os.fdopen(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as out:
            out.write(token_urlsafe(48))
        try:
            os.link(draft, path)  # fails if another process was faster: then its secret is used
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_text()
