"""Texts that come from outside."""


def is_storable(text: str) -> bool:
    """Tell whether PostgreSQL can hold it: no NUL, and no half of a surrogate pair, which JSON may bring."""
    if text.isascii():
        return "\x00" not in text
    return not any(character == "\x00" or "\ud800" <= character <= "\udfff" for character in text)
