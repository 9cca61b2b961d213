"""What the browser keeps for us, so that it can neither read nor change it."""

import base64
import json
from datetime import datetime, timedelta
from typing import Any

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


class Seal:
    """Encrypts and signs, for one purpose: what was sealed for another one does not open."""

    def __init__(self, key: str, *, purpose: str) -> None:
        derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=f"newsstand console: {purpose}".encode())
        self._fernet = Fernet(base64.urlsafe_b64encode(derived.derive(key.encode())))

    def close(self, content: dict[str, Any], *, now: datetime) -> str:
        """Return a content sealed."""
        return self._fernet.encrypt_at_time(json.dumps(content).encode(), int(now.timestamp())).decode()

    def open(self, sealed: str, *, within: timedelta, now: datetime) -> dict[str, Any] | None:
        """Return what was sealed here at most so long ago; None for anything else."""
        try:
            raw = self._fernet.decrypt_at_time(
                sealed.encode(), ttl=int(within.total_seconds()), current_time=int(now.timestamp())
            )
            content = json.loads(raw)
        except (InvalidToken, ValueError):
            return None
        return content if isinstance(content, dict) else None
