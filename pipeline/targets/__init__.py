"""Runners that execute the one-hop model, all with one interface, and streaming through them.

A recurrent model passes its state explicitly: output `<state>_next` of one hop is input `<state>`
of the next. What is left over is the features going in and the mask coming out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError

Array = NDArray[Any]
_NEXT = "_next"


class TargetError(InputError):
    """A model or its inputs do not fit the runner; the text names the tensor."""


@dataclass(frozen=True)
class TensorSpec:
    """A model input or output: real value = scale * (stored integer - zero_point)."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    scale: float
    zero_point: int

    def quantize(self, values: Array) -> Array:
        """Real values to stored integers, nearest, half away from zero, saturated."""
        info = np.iinfo(self.dtype)
        steps = values / np.float32(self.scale)
        stored = np.copysign(np.floor(np.abs(steps) + 0.5), steps) + self.zero_point
        return np.clip(stored, info.min, info.max).astype(self.dtype)

    def dequantize(self, stored: Array) -> NDArray[np.float32]:
        """Stored integers to real values."""
        centred = stored.astype(np.int32) - self.zero_point
        return centred.astype(np.float32) * np.float32(self.scale)

    def zeros(self) -> Array:
        """The real value 0 in every element."""
        return np.full(self.shape, self.zero_point, self.dtype)


class ModelInterface(Protocol):
    """A one-hop model's inputs and outputs by tensor name, in the model's order."""

    @property
    def inputs(self) -> Mapping[str, TensorSpec]: ...

    @property
    def outputs(self) -> Mapping[str, TensorSpec]: ...


class Runner(ModelInterface, Protocol):
    """Runs one hop: integers in, integers out, by tensor name; keeps no state between hops."""

    def step(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Map every input, shaped and typed as its spec, to every output."""
        ...


def check_inputs(specs: Mapping[str, TensorSpec], inputs: Mapping[str, Array]) -> None:
    """Raise `TargetError` unless `inputs` are exactly the tensors `specs` describe."""
    if inputs.keys() != specs.keys():
        raise TargetError(f"inputs are {sorted(inputs)}; the model takes {sorted(specs)}")
    for name, spec in specs.items():
        if (inputs[name].shape, inputs[name].dtype) != (spec.shape, spec.dtype):
            raise TargetError(
                f"input {name!r} is {inputs[name].dtype}{list(inputs[name].shape)}; the model "
                f"takes {spec.dtype}{list(spec.shape)}"
            )


@dataclass(frozen=True)
class HopModel:
    """Names of a model's tensors by role: features in, mask out, states fed back."""

    features: str
    mask: str
    states: tuple[str, ...]

    @classmethod
    def of(cls, model: ModelInterface) -> HopModel:
        """Read the roles off the names.

        Raises:
            TargetError: a state output without a matching input, a state whose output is quantized
                otherwise than its input, or not exactly one features input and one mask output.
        """
        states = tuple(name for name in model.inputs if name + _NEXT in model.outputs)
        features = [name for name in model.inputs if name not in states]
        masks = [name for name in model.outputs if name.removesuffix(_NEXT) not in states]
        if len(features) != 1 or len(masks) != 1:
            raise TargetError(
                f"expected one features input and one mask output beside the states {states}; "
                f"found inputs {features} and outputs {masks}"
            )
        for name in states:
            before, after = model.inputs[name], model.outputs[name + _NEXT]
            if (before.shape, before.dtype, before.scale, before.zero_point) != (
                after.shape,
                after.dtype,
                after.scale,
                after.zero_point,
            ):
                raise TargetError(
                    f"state {name!r} goes in as {before} and comes out as {after}; expected the "
                    "same shape, type and quantization"
                )
        return cls(features[0], masks[0], states)


class HopStream:
    """Runs a one-hop model hop after hop with its state fed back, from the zero state.

    Raises:
        TargetError: the model's tensors do not follow the naming above.
    """

    def __init__(self, runner: Runner) -> None:
        """Start a stream of a one-hop model whose features input is [1, F]."""
        self._runner, self._roles = runner, HopModel.of(runner)
        self._states = {name: runner.inputs[name].zeros() for name in self._roles.states}

    def __call__(self, features: Array) -> Array:
        """The next hops.

        Args:
            features: [T, F], T >= 1, real (float, quantized here) or already stored integers.

        Returns:
            The mask as stored integers, [T, M].

        Raises:
            TargetError: another shape.
        """
        if features.ndim != 2 or not len(features):
            raise TargetError(f"features are {list(features.shape)}; expected [T, F] with T >= 1")
        spec = self._runner.inputs[self._roles.features]
        is_real = np.issubdtype(features.dtype, np.floating)
        masks = []
        for hop in spec.quantize(features) if is_real else features:
            outputs = self._runner.step({self._roles.features: hop[None], **self._states})
            self._states = {name: outputs[name + _NEXT] for name in self._roles.states}
            masks.append(outputs[self._roles.mask])
        return np.concatenate(masks)

    def real(self, features: Array) -> NDArray[np.float32]:
        """The next hops, the mask as real values."""
        return self._runner.outputs[self._roles.mask].dequantize(self(features))


def stream(runner: Runner, features: Array) -> Array:
    """All hops of a stream at once; see `HopStream`."""
    return HopStream(runner)(features)
