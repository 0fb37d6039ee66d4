"""A weight matrix that knows its name, its pruning mask and its quantization."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from numpy.typing import ArrayLike

from pipeline.keras import tf, tf_keras
from pipeline.networks.graph import NORM_EPSILON
from pipeline.networks.trained import NORMALIZED, PARTS
from pipeline.quantization.fake import rounded_to, weight_scale, weight_steps
from pipeline.quantization.scheme import Grid
from pipeline.training.recipe import NORM_MOMENTUM

Restriction = Callable[["tf.Tensor"], "tf.Tensor"]


class Matrix(tf_keras.layers.Layer):
    """A prunable ``[inputs, outputs]`` matrix with its bias.

    It is one tensor of the deployed model, so it has one int8 scale and one weight stream.
    `value` is what every view of the network multiplies with: mask, then what methods restrict the
    weights to, then the int8 grid, hence training sees exactly the integers that are shipped.
    """

    def __init__(
        self,
        name: str,
        shape: tuple[int, int],
        quantized: bool,
        normalized: bool = False,
        multiplied: bool = False,
    ) -> None:
        super().__init__(name=name)
        self._quantized, self._multiplied = quantized, multiplied
        self._restrictions: list[Restriction] = []
        self._held: tuple[tf.Tensor, tf.Tensor] | None = None
        self.kernel = self._variable("kernel", shape, "zeros")
        self.bias = self._variable("bias", shape[1:], "zeros")
        self.mask = self._variable("mask", shape, "ones", trainable=False)
        self.parts: tuple[str, ...] = PARTS
        if normalized:
            self.parts = (*PARTS, *NORMALIZED)
            self.gain = self._variable("gain", shape[1:], "ones")
            self.offset = self._variable("offset", shape[1:], "zeros")
            self.mean = self._variable("mean", shape[1:], "zeros", trainable=False)
            self.variance = self._variable("variance", shape[1:], "ones", trainable=False)

    def _variable(
        self, name: str, shape: tuple[int, ...], initializer: object, trainable: bool = True
    ) -> "tf.Variable":
        return self.add_weight(
            name=name, shape=shape, initializer=initializer, trainable=trainable, dtype="float32"
        )

    @property
    def shape(self) -> tuple[int, int]:
        """``(inputs, outputs)``."""
        rows, columns = self.kernel.shape
        return int(rows), int(columns)

    def normalized(self, sums: "tf.Tensor", training: bool) -> "tf.Tensor":
        """Batch-normalize ``[..., outputs]`` (Ioffe & Szegedy, 2015) over all other axes.

        While training by the batch's own moments, which the running ones follow.
        """
        rows = tf.reshape(sums, [-1, 1, 1, sums.shape[-1]])
        empty = tf.zeros([0])
        y, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=rows,
            scale=self.gain,
            offset=self.offset,
            mean=empty if training else self.mean,
            variance=empty if training else self.variance,
            epsilon=NORM_EPSILON,
            is_training=training,
        )
        if training:
            for running, now in ((self.mean, mean), (self.variance, variance)):
                running.assign_add((1 - NORM_MOMENTUM) * (now - running))
        return tf.reshape(y, tf.shape(sums))

    def restrict(self, restriction: Restriction) -> None:
        """Let the weights take some values only.

        Args:
            restriction: maps masked weights ``[inputs, outputs]`` to those to multiply by, zeros to
                zeros; with a gradient. Several act in the order in which they came.
        """
        self._restrictions.append(restriction)

    def keep(self, name: str, value: ArrayLike) -> "tf.Variable":
        """A float32 variable of a restriction, kept with the weights and not trained."""
        constant = tf.constant(value, tf.float32)
        return self._variable(name, tuple(constant.shape), lambda *_, **__: constant, False)

    def settle(self) -> None:
        """Make restricted values the weights themselves, so that no restriction need be kept."""
        if self._restrictions:
            self.kernel.assign(self.value())
            self._restrictions.clear()

    def steps(self) -> "tf.Tensor":
        """Masked weights as whole multiples of the training step, before any restriction."""
        masked = self.kernel * self.mask
        return weight_steps(masked, weight_scale(masked))

    @contextmanager
    def held(self) -> Iterator[None]:
        """Quantize the weights once for all that is done inside, as for a loop over hops."""
        self._held = self.value(), self._scale()
        try:
            yield
        finally:
            self._held = None

    def value(self) -> "tf.Tensor":
        """Masked, restricted, fake-quantized weights, float32 ``[inputs, outputs]``."""
        if self._held is not None:
            return self._held[0]
        weights = self._restricted()
        return rounded_to(weights, weight_scale(weights)) if self._quantized else weights

    def bias_value(self, input_grid: Grid | None) -> "tf.Tensor":
        """Bias as the accumulator holds it when the input lies on ``input_grid``."""
        bias = self.bias
        if self._multiplied:
            bias = bias * tf.stop_gradient(tf.reduce_max(self.mask, axis=0))
        if input_grid is None:
            return bias
        return rounded_to(bias, input_grid.scale * self._scale())

    def _scale(self) -> "tf.Tensor":
        return self._held[1] if self._held is not None else weight_scale(self._restricted())

    def _restricted(self) -> "tf.Tensor":
        weights = self.kernel * self.mask
        for restriction in self._restrictions:
            weights = restriction(weights)
        return weights
