"""
Names as the search compares them: without accents, apostrophes, hyphens and case.

A name is found by any part of it. So each word is indexed from each of its letters on, and a search looks for what begins
with what was typed. A postal address is found by the beginnings of its words, which are kept apart from those of names: a
search for Ms. Berlin must not read through everybody who lives there.
"""

import unicodedata
from collections.abc import Iterable, Iterator
from itertools import pairwise

LONGEST_WORD = 40  # letters; the rest of a longer word is not searched
MOST_WORDS = 40  # of one name
MOST_TERMS = 12  # of one search
LONGEST_CODE = 9  # letters and digits of a postal code that is searched without its space, as "SW1A1AA"
SHORTEST_PART = 3  # letters of a part that is not the beginning of a word
SHORTEST_PART_ELSEWHERE = 2  # in scripts with less than a letter for each sound
DASHES = "-‐‑‒–—―־﹣－"  # what joins two names to one, as in Anne-Marie
SHORT_WORD = 3  # letters; such words are often written together with the next, as in "De la Cruz" and "Delacruz"
ADDRESS = "@"  # begins the parts of postal addresses; no word has it
APOSTROPHES = "'’‘‛ʼʻʽʹ`´＇′"  # what people and keyboards put into a name such as O'Brien
# Letters that are not a letter with an accent for Unicode, as they are written on a keyboard that lacks them.
PLAIN = str.maketrans(
    {
        **dict.fromkeys(APOSTROPHES, ""),
        "ł": "l", "ø": "o", "đ": "d", "ð": "d", "ħ": "h", "ŧ": "t", "ı": "i", "ŋ": "n", "ĸ": "k", "ß": "ss",
        "æ": "ae", "œ": "oe", "þ": "th", "ə": "e", "ƒ": "f", "ɓ": "b", "ɗ": "d", "ƙ": "k", "ʹ": "",
    }
)  # fmt: skip
LATIN, GREEK, CYRILLIC = "abcdefghijklmnopqrstuvwxyz", "αβγδεζηθικλμνξοπρστυφχψω", "абвгдежзийклмнопрстуфхцчшщъыьэюя"


def fold(name: str) -> str:
    """
    Return a name as the search compares it: words in lowercase letters and digits, separated by single spaces.

    Folding twice changes nothing more.
    """
    plain = _decompose(
        name.casefold().translate(PLAIN)
    ).casefold()  # casefolded first: it turns an accent into a letter
    plain = _decompose(plain).casefold().translate(PLAIN)  # casefolding can compose, and reveal a letter of PLAIN
    letters = (one if one.isalnum() else "" if _is_invisible(one) else " " for one in plain)
    return " ".join("".join(letters).split())


def _decompose(text: str) -> str:
    """Return a text without accents: of each letter, only the base letter stays."""
    return "".join(one for one in unicodedata.normalize("NFKD", text) if unicodedata.category(one) != "Mn")


def _is_invisible(character: str) -> bool:
    return unicodedata.category(character) in {"Mn", "Cf"}  # accents, soft hyphens, and marks of the direction of text


def words_of(name: str) -> list[str]:
    """Return the words of a name, folded and cut to :data:`LONGEST_WORD`."""
    return [word[:LONGEST_WORD] for word in fold(name).split()[:MOST_WORDS]]


def terms_of(query: str) -> list[str]:
    """Return the different words that a search looks for."""
    return list(dict.fromkeys(words_of(query)))[:MOST_TERMS]


def parts_of(names: Iterable[str]) -> frozenset[str]:
    """Return the indexed parts of a reader's names. A search finds a name by the beginning of any part."""
    return frozenset(part for name in names for part in (*_parts(words_of(name)), *_joined(name)))


def address_parts_of(addresses: Iterable[str]) -> frozenset[str]:
    """Return the indexed parts of postal addresses: their words, and codes that have a space, written together."""
    return frozenset(
        ADDRESS + part
        for address in addresses
        for words in [words_of(address)]
        for part in [*words, *map("".join, pairwise(words))]
        if part in words or (len(part) <= LONGEST_CODE and any(letter.isdigit() for letter in part))
    )


def anywhere(word: str) -> list[str]:
    """Return what a search looks for if a word may be of a name or of a postal address."""
    return [word, ADDRESS + word]


def _parts(words: list[str]) -> Iterator[str]:
    for number, word in enumerate(words):
        shortest = SHORTEST_PART if word.isascii() else SHORTEST_PART_ELSEWHERE
        yield word
        yield from (word[start:] for start in range(1, len(word) - shortest + 1))
        joined = word
        for following in words[number + 1 :] if len(word) <= SHORT_WORD else ():
            joined = (joined + following)[:LONGEST_WORD]
            yield joined
            if len(following) > SHORT_WORD:
                break


def _joined(name: str) -> Iterator[str]:
    """Yield the names with a dash, written together: "annemarie" for "Anne-Marie", and the ends of longer ones."""
    for token in name.split()[:MOST_WORDS]:
        if any(one in token for one in DASHES):
            words = words_of(token)
            yield from ("".join(words[start:])[:LONGEST_WORD] for start in range(len(words) - 1))


def matches(term: str, parts: Iterable[str]) -> bool:
    """Return whether a reader with these parts is found by a word of a search."""
    return any(part.startswith(term) for part in parts)


def misspellings(term: str) -> frozenset[str]:
    """
    Return the words from which a typed word differs by one mistake: a letter that is missing, wrong or one too many, or two
    neighbors in the wrong order.

    There are about 60 for each letter, so all of them can be looked up.
    """
    splits = [(term[:at], term[at:]) for at in range(len(term) + 1)]
    letters = next((one for one in (LATIN, GREEK, CYRILLIC) if any(letter in one for letter in term)), "")
    found = {head + tail[1:] for head, tail in splits if tail}
    found |= {head + tail[1] + tail[0] + tail[2:] for head, tail in splits if len(tail) > 1}
    found |= {head + letter + tail[1:] for head, tail in splits if tail for letter in letters}
    found |= {head + letter + tail for head, tail in splits for letter in letters}
    return frozenset(found - {term, ""})
