"""What staff type into the search of readers."""

import pytest

from app.domain.reader_search import value_of


@pytest.mark.parametrize("query", ["#NS-1", "Invoice NS-1", "invoice #NS-1", "Invoice: NS-1", "Invoice No. NS-1"])
def test_the_words_before_an_invoice_number_do_not_count(query: str) -> None:
    assert value_of(query) == "NS-1"


@pytest.mark.parametrize(
    "query", ["invoice@example.com", "no.reply@example.com", "invoice", "invoice.", "invoices", "no.reply", "number1"]
)
def test_what_only_begins_like_an_invoice_is_searched_as_typed(query: str) -> None:
    assert value_of(query) == query


def test_a_query_of_several_words_is_no_value() -> None:
    assert value_of("Nia Roe") is None
