"""A form that was submitted when the person had to sign in again, as it is kept in the browser."""

import base64
import binascii
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

MAX_AGE = timedelta(minutes=15)
MAX_COOKIE = 3900  # characters: browsers keep 4,096, with name and attributes


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptForm:
    """A form that was not sent yet."""

    sub: str
    path: str  # of the page that shows it
    fields: Mapping[str, str]

    def pack(self) -> dict[str, str]:
        """Return the content of the cookie."""
        fields = {name: value for name, value in self.fields.items() if name != "form_token"}
        content = json.dumps([self.sub, self.path, fields])
        return {"form": base64.b64encode(zlib.compress(content.encode())).decode()}

    @classmethod
    def unpack(cls, content: Mapping[str, Any]) -> "KeptForm | None":
        """Return the form that a cookie kept. None: it is of another release."""
        try:
            sub, path, fields = json.loads(zlib.decompress(base64.b64decode(content["form"])))
        except (binascii.Error, zlib.error, ValueError, KeyError):
            return None
        return cls(sub=sub, path=path, fields=fields)
