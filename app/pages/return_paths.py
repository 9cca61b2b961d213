"""The page to open after sign-in."""

from urllib.parse import urlsplit


def safe(path: str, *, below: str) -> str:
    """Return the requested path if it is ``below`` or a page under it, else the first page there."""
    try:
        parts = urlsplit(path)
    except ValueError:
        return f"{below}/"
    is_ours = parts.path == below or parts.path.startswith(f"{below}/")
    is_plain = path.isascii() and path.isprintable() and "\\" not in path and ".." not in path
    if parts.scheme or parts.netloc or not is_ours or not is_plain or len(path) > 1000:
        return f"{below}/"
    return path
