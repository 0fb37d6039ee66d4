"""A weight matrix that knows its name, its pruning mask and its quantization."""

import numpy as np

from pipeline.keras import tf, tf_keras
from pipeline.networks.graph import NORM_EPSILON
from pipeline.networks.trained import NORMALIZED, PARTS
from pipeline.quantization.fake import rounded_to, weight_scale, weight_steps
from pipeline.quantization.scheme import WEIGHT_LIMIT, Grid

NORM_MOMENTUM = 0.99


class Matrix(tf_keras.layers.Layer):
    """A prunable ``[inputs, outputs]`` matrix with its bias.

    It is one tensor of the deployed model, so it has one int8 scale and one weight stream.
    `value` is what every view of the network multiplies with: the mask is applied before
    quantization, hence training sees exactly the integers that are shipped.
    """

    def __init__(
        self, name: str, shape: tuple[int, int], quantized: bool, normalized: bool = False
    ) -> None:
        super().__init__(name=name)
        self._quantized = quantized
        self._codebook: tf.Variable | None = None
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

    def share_weights(self) -> "tf.Variable":
        """Let the matrix hold few distinct integers.

        Returns:
            Float32 ``[2 * WEIGHT_LIMIT + 1]``: what stands for each integer weight, at first
            itself. Whoever asked for it fills it in.
        """
        identity = np.arange(-WEIGHT_LIMIT, WEIGHT_LIMIT + 1, dtype=np.float32)
        constant = tf_keras.initializers.Constant(identity)
        self._codebook = self._variable("codebook", identity.shape, constant, trainable=False)
        return self._codebook

    def settle(self) -> None:
        """Make shared values the weights themselves, so that no codebook need be kept."""
        if self._codebook is not None:
            self.kernel.assign(self.value())

    def steps(self) -> "tf.Tensor":
        """Masked weights as whole multiples of the training step, before any sharing."""
        masked = self.kernel * self.mask
        return weight_steps(masked, weight_scale(masked))

    def value(self) -> "tf.Tensor":
        """Masked, fake-quantized weights, float32 ``[inputs, outputs]``."""
        masked = self.kernel * self.mask
        if not self._quantized:
            return masked
        return rounded_to(masked, weight_scale(masked), self._codebook)

    def bias_value(self, input_grid: Grid | None) -> "tf.Tensor":
        """Bias as the accumulator holds it when the input lies on ``input_grid``."""
        if input_grid is None:
            return self.bias
        return rounded_to(self.bias, input_grid.scale * weight_scale(self.kernel * self.mask))
