"""What the browser keeps for us, so that it can neither read nor change it."""

import json
from datetime import datetime, timedelta
from typing import Any

from app.encryption import Cipher


class Seal:
    """Encrypts and signs, for one purpose: what was sealed for another one does not open."""

    def __init__(self, key: str, *, purpose: str) -> None:
        self._cipher = Cipher(lambda: [key], purpose=f"newsstand console: {purpose}")

    def close(self, content: dict[str, Any], *, now: datetime) -> str:
        """Return a content sealed."""
        return self._cipher.encrypt(json.dumps(content), now=now)

    def open(self, sealed: str, *, within: timedelta, now: datetime) -> dict[str, Any] | None:
        """Return what was sealed here at most so long ago; None for anything else."""
        text = self._cipher.decrypt_recent(sealed, max_age=within, now=now)
        content = json.loads(text) if text is not None else None
        return content if isinstance(content, dict) else None
