"""Each subject of the journeys has a main path, which ``make test`` runs."""

from tests.conftest import JOURNEYS, MAIN_PATHS


def test_each_main_path_exists() -> None:
    assert [name for name in sorted(MAIN_PATHS) if not (JOURNEYS / name).is_file()] == []


def test_each_subject_has_a_main_path() -> None:
    subjects = {one.parent.name for one in JOURNEYS.glob("*/test_*.py")}
    assert subjects == {name.partition("/")[0] for name in MAIN_PATHS}
