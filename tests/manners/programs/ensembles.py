"""Several models of one structure, one after another."""

from __future__ import annotations

import gc

import keras

from manners.programs import program
from manners.programs.models import Own
from manners.seen import Seen
from manners.small import FIT, classifier, data


@program
def ensemble_of_equal_models(see: Seen) -> None:
    x, y = data()
    members = []
    for place in range(3):
        model = classifier("adam", eagerly=False)
        see.model(model, model.fit(x, y, **FIT), f"member {place}")
        members.append(model)
    see.note("mean", sum(one.predict(x, verbose=0) for one in members) / 3)


@program
def ensemble_of_models_that_are_let_go(see: Seen) -> None:
    """As most ensembles are: each member's name is taken by the next, and the data are the same."""
    x, y = data()
    for place in range(3):
        model = classifier("adam", eagerly=False)
        model.fit(x, y, **FIT)
        see.model(model, key=f"member {place}")
        del model
        gc.collect()


@program
def members_of_the_users_own_class(see: Seen) -> None:
    """How often Python runs what TensorFlow traces shows whether a model was built once more."""
    for place in range(2):
        Own.calls = 0
        model = Own()
        model.compile(keras.optimizers.Adam(0.01))
        see.model(model, model.fit(*data(), **FIT), f"member {place}")
        see.note(f"traced {place}", Own.calls)


@program
def ensemble_with_cleared_sessions(see: Seen) -> None:
    x, y = data()
    for place in range(3):
        keras.backend.clear_session()
        keras.utils.set_random_seed(place)
        model = classifier()
        see.model(model, model.fit(x, y, **FIT), f"member {place}")
        del model
