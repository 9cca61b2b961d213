"""Look for whole words in a page or a stored row.

Random IDs and tokens contain "ada" or "4242" now and then, so a test that says "this name is not shown" asks for the word.
"""

import re


def words_in(text: str, *words: str) -> list[str]:
    """Return each occurrence of the words in the text, whatever their case."""
    return re.findall(rf"\b(?:{'|'.join(map(re.escape, words))})\b", text, re.IGNORECASE)
