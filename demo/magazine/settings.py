"""The magazine's settings, read from environment variables."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

DEMO_SESSION_KEY = "not-a-secret-demo-session-key"  # public; signs session cookies if no key is set


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings. Each is read from `MAGAZINE_<NAME>`."""

    url: str  # public URL of the site, without a trailing slash
    newsstand_url: str
    hosted_account_url: str  # Newsstand's own account pages, for what this site builds no pages for
    api_key: str  # a Newsstand API key with the scope entitlements:read
    issuer: str
    client_id: str
    session_key: str
    timezone: str  # of the dates on the pages

    @classmethod
    def from_environment(cls, listening_on: str, environment: Mapping[str, str] = os.environ) -> "Settings":
        """Read the settings. The defaults suit a demo on its usual ports; only the API key has none."""

        def read(name: str, default: str) -> str:
            return environment.get(f"MAGAZINE_{name}") or default

        return cls(
            url=read("URL", listening_on).rstrip("/"),
            newsstand_url=read("NEWSSTAND_URL", "http://127.0.0.1:8000").rstrip("/"),
            hosted_account_url=read("HOSTED_ACCOUNT_URL", "http://127.0.0.1:8000/account").rstrip("/"),
            api_key=read("API_KEY", ""),
            issuer=read("ISSUER", "http://127.0.0.1:9000").rstrip("/"),
            client_id=read("CLIENT_ID", "magazine"),
            session_key=read("SESSION_KEY", DEMO_SESSION_KEY),
            timezone=read("TIMEZONE", "America/Chicago"),
        )
