"""Entries of the audit log as sentences."""

import ast
from pathlib import Path

import pytest

from app.domain.audit_sentences import SENTENCES, sentence

APP = Path(__file__).parents[2] / "app"


def text_of(action: str, **facts: str) -> str:
    """Return a whole sentence, without its subject."""
    return "".join(part.text for part in sentence(action, facts))


@pytest.mark.parametrize(
    ("action", "facts", "text"),
    [
        pytest.param(
            "refund.confirmed", {"amount": "$49", "reader": "Ada"}, "refunded $49 to Ada", id="every fact is known"
        ),
        pytest.param("refund.requested", {"reader": "Ada"}, "requested a refund to Ada", id="the amount is unknown"),
        pytest.param("refund.requested", {}, "requested a refund", id="only the action is known"),
        pytest.param("next_year.new_thing", {"reader": "Ada"}, "next year: new thing, Ada", id="an unknown action"),
        pytest.param(
            "work_item.assigned", {"object": "ano_1", "assignee": "Sam"}, "assigned ano_1 to Sam", id="no reader"
        ),
        pytest.param("labels.frozen", {"object": "iss_42"}, "froze the labels of issue 42", id="an issue"),
        pytest.param(
            "comp.given", {"reader": "{amount} [x]"}, "gave complimentary access to {amount} [x]", id="odd name"
        ),
    ],
)
def test_a_sentence_has_the_known_facts(action: str, facts: dict[str, str], text: str) -> None:
    assert text_of(action, **facts) == text


def test_only_the_name_of_the_reader_is_a_link() -> None:
    assert [part.text for part in sentence("comp.given", {"reader": "Ada"}) if part.is_reader] == ["Ada"]


def test_every_recorded_action_has_a_sentence() -> None:
    recorded = set()
    for path in APP.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.keyword) and node.arg == "action" and isinstance(node.value, ast.Constant):
                recorded.add(node.value.value)

    assert {action for action in recorded if isinstance(action, str) and "." in action} <= set(SENTENCES)
