"""A few steps of training with compression methods, as the compress stage makes them."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from agreement_of_views import features

from pipeline.compression.method import Method, Plan
from pipeline.keras import tf
from pipeline.networks.groups import remove_masked_units
from pipeline.networks.trained import Trained
from pipeline.training.loop import MaskLearner

PLAN = Plan(steps=6, prune_end=4, every_steps=1)


def briefly_trained(start: Trained, methods: Sequence[Method], seed: int = 3) -> Trained:
    """Apply methods to an integer network and return what would be shipped.

    Fails if settling moves a weight that training has multiplied by.
    """
    heard = features(seed, 20)
    for method in methods:
        start = method.start(start, heard)
    model = start.build()
    callbacks = [call for method in methods for call in method.callbacks(model, PLAN)]
    masks = [matrix.mask for matrix in model.matrices]
    optimizer = tf.keras.optimizers.Adam(1e-3)
    for step in range(PLAN.steps):
        for callback in callbacks:
            callback.before_step(step)
        variables = model.trainable_weights
        with tf.GradientTape() as tape:
            tape.watch(masks)
            loss = tf.reduce_mean(tf.square(model(tf.constant(heard), training=True) - 0.5))
        gradients = tape.gradient(loss, [*variables, *masks])
        optimizer.apply_gradients(zip(gradients, variables, strict=False))
        told = {
            matrix.name: gradient.numpy()
            for matrix, gradient in zip(model.matrices, gradients[len(variables) :], strict=True)
        }
        for callback in callbacks:
            if isinstance(callback, MaskLearner):
                callback.after_step(step, told)
    before = model(heard).numpy()
    for matrix in model.matrices:
        matrix.settle()
    np.testing.assert_array_equal(model(heard).numpy(), before)
    return remove_masked_units(dataclasses.replace(start, arrays=model.get_arrays()))
