"""Whatever staff can do in the console they can do in the API, and the other way round."""

from tests.docs.reference import staff_actions


def test_every_form_of_the_console_is_listed_with_its_operation() -> None:
    forms = {route.path for route in staff_actions.forms()}
    assert forms == staff_actions.ACTIONS.keys()
    assert set(staff_actions.ACTIONS.values()) <= staff_actions.operations()


def test_every_operation_of_staff_has_a_page_or_is_listed_without_one() -> None:
    with_page = set(staff_actions.ACTIONS.values())
    assert staff_actions.operations() == with_page | staff_actions.WITHOUT_PAGE.keys()
    assert with_page.isdisjoint(staff_actions.WITHOUT_PAGE)
