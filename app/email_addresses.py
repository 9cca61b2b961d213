"""
Whether two email addresses are certainly the same.

Unicode has characters that look like others, or turn into them in lowercase: the Kelvin sign becomes a k. Two different
mailboxes would then seem to be one. So a local part must be ASCII, and domains are compared as the DNS does, in their
encoded form (RFC 5891, with the mapping of UTS 46).
"""

import re

import idna

_LOCAL = re.compile(r"[a-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[a-z0-9!#$%&'*+/=?^_`{|}~-]+)*", re.ASCII | re.IGNORECASE)
LONGEST_LOCAL_PART, LONGEST_ADDRESS = 64, 254  # characters: RFC 5321, section 4.5.3.1


def canonical(address: str | None) -> str | None:
    """
    Return an address in the form in which it can be compared: lowercase, with an encoded domain.

    None if it can't be compared: without a domain, with quotes, or with a local part that is not ASCII.
    """
    local, _, domain = (address or "").rpartition("@")
    if not local.isascii() or not _LOCAL.fullmatch(local) or len(local) > LONGEST_LOCAL_PART:
        return None
    try:
        encoded = idna.encode(domain, uts46=True, std3_rules=True).decode("ascii")
    except (idna.IDNAError, UnicodeError):
        return None
    found = f"{local}@{encoded}".lower()
    return found if len(found) <= LONGEST_ADDRESS else None


def spellings(address: str) -> tuple[str, ...]:
    """Return how a comparable address may be written in lowercase: with its domain encoded, and in Unicode."""
    compared = canonical(address)
    if compared is None:
        return ()
    local, _, domain = compared.rpartition("@")
    return tuple(dict.fromkeys((compared, f"{local}@{idna.decode(domain)}", address.lower())))
