"""Nothing of the runtime keeps a model alive, or what it had."""

from __future__ import annotations

from typing import Final

import pytest

from manners.both import ROLES, Outcome, differences, outcome
from manners.programs import MEMORY, NAMES

LIBRARIES: Final = ("keras.", "tensorflow.", "numpy.")
MODELS: Final = 180
"""Models of the program between its two counts."""

MOST_PER_MODEL: Final = 8
"""Objects of one class that the journal may keep for a model."""

PROGRAMS = [name for name, file in NAMES.items() if file in MEMORY]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """All programs, seen once."""
    return outcome(tmp_path_factory.mktemp("memory"), PROGRAMS)


def test_what_a_training_had_is_let_go_as_soon_as_without_the_runtime(seen: Outcome) -> None:
    name = "what_a_training_had_is_let_go"
    assert not differences(seen, name)
    found = seen["followed"][name]["seen"]
    alive = {key: value[1:] for key, value in found.items() if key.endswith("alive after collection")}
    kept_by_keras = {key for key in alive if key.startswith(("by_index", "from_generators"))}
    assert len(kept_by_keras) == 2
    assert not any(value for key, value in alive.items() if key not in kept_by_keras), alive


def test_what_a_model_no_longer_has_is_let_go(seen: Outcome) -> None:
    assert not differences(seen, "what_a_model_no_longer_has_is_let_go")


def test_two_hundred_models_leave_what_they_leave_without_the_runtime(seen: Outcome) -> None:
    alone, followed = (grown(seen, role) for role in ROLES)
    assert seen["followed"]["two_hundred_models"]["said"][0] != "snapshot "
    # How much TensorFlow itself leaves differs: what is built before its first step leaves less.
    more = {key: number - alone.get(key, 0) for key, number in followed.items() if key.startswith(LIBRARIES)}
    assert not {key: number for key, number in more.items() if number > 0}
    # Beside that there is the journal, which has a slot and a call for each, and is bounded itself.
    ours = {
        key: number - alone.get(key, 0) for key, number in followed.items() if not key.startswith(LIBRARIES)
    }
    much = {key: number for key, number in ours.items() if number > MODELS * MOST_PER_MODEL}
    assert not much, much


def grown(seen: Outcome, role: str) -> dict[str, int]:
    """By class, how many more objects are alive after all models than after the first of them."""
    found = seen[role]["two_hundred_models"]["seen"]
    return {key.removeprefix("grown "): number for key, number in found.items() if key.startswith("grown ")}
