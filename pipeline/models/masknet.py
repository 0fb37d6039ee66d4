"""The TinyLSTMs mask network (Fedorov et al., 2020): LSTM, LSTM, Dense ReLU, Dense sigmoid."""

import itertools

import numpy as np

from pipeline.config import Model
from pipeline.errors import InputError
from pipeline.keras import tf, tf_keras
from pipeline.models.lstm import LSTM
from pipeline.models.matrix import Matrix
from pipeline.quantization.fake import on_grid
from pipeline.quantization.scheme import FLOAT, Scheme

DEFAULT_SIZES = Model()
State = list[tuple["tf.Tensor", "tf.Tensor"]]


class MaskNet(tf_keras.Model):
    """Band features in, band mask out.

    With the default sizes it has 968,960 parameters (3.70 MiB in float32). ``model(features)``
    is the sequence view, `step` the one-hop view; both use the same weights.

    Args:
        sizes: width of every layer.
        scheme: numeric scheme; `FLOAT` trains the dense baseline.
        relu_maximum: top of the ReLU output's grid (only used by integer schemes).
        seed: seed of the weight initialization.
    """

    def __init__(
        self,
        sizes: Model = DEFAULT_SIZES,
        scheme: Scheme = FLOAT,
        relu_maximum: float = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__(name="masknet")
        self.bands, self.scheme, self.relu_maximum = sizes.bands, scheme, relu_maximum
        self._relu_grid = scheme.relu_grid(relu_maximum)
        widths = [sizes.bands, *sizes.lstm_units]
        self.lstms = [
            LSTM(f"lstm{k}", inputs, units, scheme, seed + 10 * k, rank)
            for k, ((inputs, units), rank) in enumerate(
                zip(itertools.pairwise(widths), sizes.ranks, strict=True),
                start=1,
            )
        ]

        def glorot(offset: int) -> "tf_keras.initializers.Initializer":
            return tf_keras.initializers.GlorotUniform(seed=seed + offset)

        self.dense = Matrix("dense", (widths[-1], sizes.dense_units), scheme, glorot(1))
        self.mask_dense = Matrix("mask", (sizes.dense_units, sizes.bands), scheme, glorot(2))

    @property
    def matrices(self) -> list[Matrix]:
        """Every prunable matrix, in the order of the computation."""
        recurrent = [matrix for layer in self.lstms for matrix in layer.matrices]
        return [*recurrent, self.dense, self.mask_dense]

    def call(self, features: "tf.Tensor") -> "tf.Tensor":
        """Sequence view from a zero state: ``[batch, time, bands]`` -> mask of that shape."""
        x = on_grid(features, self.scheme.hidden)
        for layer in self.lstms:
            x = layer(x)
        return self._head(x)

    def step(self, features: "tf.Tensor", state: State) -> tuple["tf.Tensor", State]:
        """One-hop view: ``[batch, bands]`` and a state -> mask ``[batch, bands]``, next state."""
        x = on_grid(features, self.scheme.hidden)
        next_state = []
        for layer, (h, c) in zip(self.lstms, state, strict=True):
            x, c = layer.step(x, h, c)
            next_state.append((x, c))
        return self._head(x), next_state

    def zero_state(self, batch: int = 1) -> State:
        """State of a stream that has just started."""
        return [(tf.zeros([batch, n.units]), tf.zeros([batch, n.units])) for n in self.lstms]

    def hidden_activation(self, features: "tf.Tensor") -> "tf.Tensor":
        """ReLU layer output, whose range an integer scheme needs to know."""
        x = features
        for layer in self.lstms:
            x = layer(x)
        return tf.nn.relu(x @ self.dense.value() + self.dense.bias)

    def _head(self, x: "tf.Tensor") -> "tf.Tensor":
        x = x @ self.dense.value() + self.dense.bias_value(self.scheme.hidden)
        x = on_grid(tf.nn.relu(x), self._relu_grid)
        x = x @ self.mask_dense.value() + self.mask_dense.bias_value(self._relu_grid)
        return on_grid(tf.sigmoid(on_grid(x, self.scheme.mask_input)), self.scheme.mask)

    def get_arrays(self) -> dict[str, np.ndarray]:
        """All parameters and masks by name, e.g. ``lstm1_gates/kernel``."""
        return {
            f"{m.name}/{part}": getattr(m, part).numpy()
            for m in self.matrices
            for part in ("kernel", "bias", "mask")
        }

    def set_arrays(self, arrays: dict[str, np.ndarray]) -> None:
        """Load what `get_arrays` returned.

        Raises:
            InputError: a tensor is missing or has another shape; names it.
        """
        for m in self.matrices:
            for part in ("kernel", "bias", "mask"):
                name, variable = f"{m.name}/{part}", getattr(m, part)
                if name not in arrays:
                    raise InputError(f"weights: tensor {name!r} is missing")
                if arrays[name].shape != tuple(variable.shape):
                    raise InputError(
                        f"weights: tensor {name!r} is {arrays[name].shape}, the configured "
                        f"network needs {tuple(variable.shape)}"
                    )
                variable.assign(arrays[name])
