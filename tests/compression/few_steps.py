"""A short training with methods, as the compress stage does it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from pipeline.compression.method import Method, Plan
from pipeline.keras import tf
from pipeline.networks.groups import remove_masked_units
from pipeline.networks.trained import Trained
from pipeline.training.loop import MaskLearner
from tests.networks.agreement_of_views import features

PLAN = Plan(steps=3, prune_end=2, every_steps=1)
LONGER = Plan(steps=6, prune_end=4, every_steps=1)


def trained_with(
    methods: Sequence[Method], start: Trained, seed: int, plan: Plan = PLAN
) -> tuple[Trained, np.ndarray]:
    """A few steps of Adam towards a mask of one half.

    Fails if settling moves a weight that training has multiplied by.

    Returns:
        What would be saved, and the mask of the model in training for `features(seed)`.
    """
    heard = features(seed)
    for method in methods:
        start = method.start(start, heard)
    model = start.build()
    callbacks = [call for method in methods for call in method.callbacks(model, plan)]
    masks = [matrix.mask for matrix in model.matrices]
    optimizer, variables = tf.keras.optimizers.Adam(1e-3), model.trainable_weights
    for step in range(plan.steps):
        for callback in callbacks:
            callback.before_step(step)
        with tf.GradientTape() as tape:
            tape.watch(masks)
            loss = tf.reduce_mean(tf.square(model(heard[:, :8], training=True) - 0.5))
        gradients = tape.gradient(loss, [*variables, *masks])
        optimizer.apply_gradients(zip(gradients, variables, strict=False))
        told = {
            matrix.name: gradient.numpy()
            for matrix, gradient in zip(model.matrices, gradients[len(variables) :], strict=True)
        }
        for callback in callbacks:
            if isinstance(callback, MaskLearner):
                callback.after_step(step, told)
    mask = model(heard).numpy()
    for matrix in model.matrices:
        matrix.settle()
    np.testing.assert_array_equal(model(heard).numpy(), mask)
    return remove_masked_units(dataclasses.replace(start, arrays=model.get_arrays())), mask
