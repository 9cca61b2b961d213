"""What the magazine is told from outside, by the environment."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

PUBLIC_DEMO_KEY = "not-a-secret-demo-session-key"  # signs session cookies where none is set: for the demo only


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Every setting is `MAGAZINE_<NAME>`."""

    url: str  # where browsers reach the site; no slash at the end
    newsstand_url: str
    api_key: str  # a server key of Newsstand with the scope entitlements:read
    issuer: str
    client_id: str
    session_key: str
    timezone: str  # of the dates that readers see

    @classmethod
    def from_environment(cls, listening_on: str, environment: Mapping[str, str] = os.environ) -> "Settings":
        """Read the settings; what is left out suits a demo on its usual ports, but for the API key."""

        def read(name: str, default: str) -> str:
            return environment.get(f"MAGAZINE_{name}") or default

        return cls(
            url=read("URL", listening_on).rstrip("/"),
            newsstand_url=read("NEWSSTAND_URL", "http://127.0.0.1:8000").rstrip("/"),
            api_key=read("API_KEY", ""),
            issuer=read("ISSUER", "http://127.0.0.1:9000").rstrip("/"),
            client_id=read("CLIENT_ID", "magazine"),
            session_key=read("SESSION_KEY", PUBLIC_DEMO_KEY),
            timezone=read("TIMEZONE", "America/Chicago"),
        )
