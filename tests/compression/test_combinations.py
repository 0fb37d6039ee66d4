"""Any two methods go together, or one of them says in a line why not."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest

from pipeline.compression.method import Method, Plan
from pipeline.errors import InputError
from pipeline.lowering.tflite import integer_matrix, to_tflite
from pipeline.networks.groups import remove_masked_units
from pipeline.networks.trained import Trained
from pipeline.training.loop import MaskLearner
from tests.compression.every_method import EVERY, method, network_for, start
from tests.networks.agreement_of_views import features

PLAN = Plan(steps=4, prune_end=2, every_steps=1)


def made(trained: Trained, methods: Sequence[Method]) -> Trained:
    """A variant, its optimizer's steps left out.

    Fails if settling moves a weight that training would have multiplied by.
    """
    random = np.random.default_rng(1)
    for one in methods:
        trained = one.start(trained, features(1, hops=8))
    model = trained.build()
    callbacks = [call for one in methods for call in one.callbacks(model, PLAN)]
    for step in range(PLAN.steps):
        for callback in callbacks:
            callback.before_step(step)
        told = {m.name: random.normal(size=m.shape).astype(np.float32) for m in model.matrices}
        for callback in callbacks:
            if isinstance(callback, MaskLearner):
                callback.after_step(step, told)
    for matrix in model.matrices:
        seen = matrix.value().numpy()
        matrix.settle()
        np.testing.assert_array_equal(matrix.value(), seen)
    return remove_masked_units(dataclasses.replace(trained, arrays=model.get_arrays()))


@pytest.mark.parametrize("first", EVERY)
def test_two_methods_combine_or_say_why_not(first: str) -> None:
    for second in EVERY:
        methods = [method(first), method(second)]
        settings = network_for(methods)
        if settings is None:
            continue
        try:
            trained = made(start(settings), methods)
            to_tflite(trained, "net")
        except InputError as error:
            assert "\n" not in str(error), (first, second)
            continue
        for matrix in trained.build().matrices:
            stored = integer_matrix(trained, matrix.name)
            weights = stored.weights.T * np.float32(stored.scale)
            np.testing.assert_array_equal(matrix.value(), weights, err_msg=f"{first}, {second}")
