"""Encrypted cookies."""

import json
from datetime import datetime, timedelta
from typing import Any

from app.encryption import Cipher


class CookieCipher:
    """
    Encrypts and authenticates the value of one cookie, so the browser can neither read nor change it.

    Each purpose has its own key, derived from the session key: a value encrypted for one cookie is invalid in another.
    """

    def __init__(self, key: str, *, purpose: str) -> None:
        self._cipher = Cipher(lambda: [key], purpose=f"newsstand {purpose}")

    def encrypt(self, content: dict[str, Any], *, now: datetime) -> str:
        """Return the cookie value."""
        return self._cipher.encrypt(json.dumps(content), now=now)

    def decrypt(self, value: str, *, max_age: timedelta, now: datetime) -> dict[str, Any] | None:
        """Return the content of a cookie value. None: the value is invalid or older than ``max_age``."""
        text = self._cipher.decrypt_recent(value, max_age=max_age, now=now)
        content = json.loads(text) if text is not None else None
        return content if isinstance(content, dict) else None
