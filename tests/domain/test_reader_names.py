"""How names are folded, and which parts of them a search finds."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.domain.reader_names import (
    LONGEST_WORD,
    MOST_TERMS,
    address_parts_of,
    anywhere,
    fold,
    matches,
    misspellings,
    parts_of,
    terms_of,
)

NAMES = st.text(max_size=80) | st.text(alphabet="aáåßłøĐıİŞünO'’-– .ǅﬁΣς̆\u200f\u00ad山田한日🗞<>%_\\", max_size=30)


@pytest.mark.parametrize(
    ("name", "folded"),
    [
        ("Maria de la Fuente III", "maria de la fuente iii"),
        ("Siobhán O’Brien", "siobhan obrien"),
        ("O'Brien", "obrien"),
        ("O`Brien", "obrien"),
        ("O´Brien", "obrien"),
        ("Ünal", "unal"),
        ("Smith-Jones", "smith jones"),
        ("Smith–Jones", "smith jones"),
        ("Łukasz Øster", "lukasz oster"),
        ("Straße", "strasse"),
        ("STRASSE", "strasse"),
        ("Işık İnan", "isik inan"),
        ("Đặng Þór Æsa", "dang thor aesa"),
        ("Ｆｕｌｌ width", "full width"),
        ("D’Ａngelo", "dangelo"),
        ("Ѐлена Ёлкина", "елена елкина"),
        ("Σίσυφος", "σισυφοσ"),
        ("\u202eevil\u202c Name", "evil name"),
        ("soft\u00adhyphen", "softhyphen"),
        ("<b>Kit</b>", "b kit b"),
        ("100% _Kit\\", "100 kit"),
        ("🗞️", ""),
        ("...'-", ""),
        ("", ""),
    ],
)
def test_name_is_folded(name: str, folded: str) -> None:
    assert fold(name) == folded


@given(NAMES)
def test_folding_twice_changes_nothing_more(name: str) -> None:
    assert fold(fold(name)) == fold(name)


@given(NAMES)
def test_folded_names_have_only_words_and_single_spaces(name: str) -> None:
    folded = fold(name)
    assert folded == folded.strip()
    assert "  " not in folded
    assert all(one == " " or one.isalnum() for one in folded)
    assert "\x00" not in folded


@given(NAMES)
@example("\u0345")  # an accent whose casefolded form is a letter
def test_case_makes_no_difference(name: str) -> None:
    assert fold(name.casefold()) == fold(name)


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("fuente", "Maria de la Fuente III"),
        ("Fuent", "Maria de la Fuente III"),
        ("uent", "Maria de la Fuente III"),
        ("de la fuente", "Maria de la Fuente III"),
        ("delafuente", "Maria de la Fuente III"),
        ("fuente maria", "Maria de la Fuente III"),
        ("fuente, maria", "Maria de la Fuente III"),
        ("obrien", "Siobhán O’Brien"),
        ("o'brien", "Siobhán O’Brien"),
        ("o brien", "Siobhán O’Brien"),
        ("obrien", "Siobhan O Brien"),
        ("siobhan", "Siobhán O’Brien"),
        ("unal", "Ünal"),
        ("Ünal", "unal"),
        ("smith-jones", "Ann Smith Jones"),
        ("jones", "Ann Smith-Jones"),
        ("mac donald", "Ewan MacDonald"),
        ("macdonald", "Ewan Mac Donald"),
        ("strasse", "Kit Straße"),
        ("太郎", "山田太郎"),
        ("김민", "김민수"),
    ],
)
def test_any_part_of_a_name_is_found(query: str, name: str) -> None:
    parts = parts_of([name])
    assert all(matches(term, parts) for term in terms_of(query))


@pytest.mark.parametrize(
    ("query", "is_found"),
    [
        ("12 lantern street", True),
        ("LANTERN ST", True),
        ("münchen", True),
        ("munchen lantern", True),
        ("SW1A 1AA", True),
        ("sw1a1aa", True),
        ("antern", False),  # only names are found by the middle of a word
        ("13 lantern", False),
        ("streetmunchen", False),
    ],
)
def test_a_postal_address_is_found_by_its_words(query: str, is_found: bool) -> None:
    parts = address_parts_of(["12 Lantern Street München SW1A 1AA"])
    assert all(any(matches(term, parts) for term in anywhere(word)) for word in terms_of(query)) == is_found


def test_words_of_addresses_are_kept_apart_from_names() -> None:
    assert not any(matches("lantern", [part]) for part in address_parts_of(["12 Lantern Street"]))


@given(NAMES, st.data())
def test_any_three_neighboring_letters_are_found(name: str, data: st.DataObject) -> None:
    words = [word[:LONGEST_WORD] for word in fold(name).split() if len(word) >= 3]
    if words:
        word = data.draw(st.sampled_from(words))
        start = data.draw(st.integers(0, len(word) - 3))
        assert matches(word[start : start + 3], parts_of([name]))


@given(st.lists(NAMES, max_size=3))
def test_every_word_is_found_by_itself(names: list[str]) -> None:
    parts = parts_of(names)
    assert all(matches(term, parts) for name in names for term in terms_of(name))


def test_long_names_and_queries_are_cut() -> None:
    parts = parts_of(["x" * 300, " ".join(["word"] * 100), "".join(map(chr, range(0x4E00, 0x4E00 + 300)))])
    assert max(map(len, parts)) == LONGEST_WORD
    assert len(parts) < 150
    assert len(terms_of(" ".join(f"w{n}" for n in range(100)))) == MOST_TERMS


@pytest.mark.parametrize("typed", ["marlwe", "marrlowe", "marlwoe", "mallowe", "arlowe", "marlow", "amrlowe"])
def test_one_mistake_is_among_the_misspellings(typed: str) -> None:
    assert "marlowe" in misspellings(typed)


@given(st.text(alphabet="abcяσ", min_size=1, max_size=12))
def test_there_are_few_misspellings_of_a_word(word: str) -> None:
    found = misspellings(word)
    assert word not in found
    assert "" not in found
    assert len(found) <= 70 * (len(word) + 1)
