"""Runners that execute the one-hop model, all with one interface, and streaming through them.

A recurrent model passes its state explicitly: output `<state>_next` of one hop is input `<state>`
of the next. A convolution over time reads earlier frames: input `<tensor>_ago2_1` holds the
features or an output of two hops ago and of the hop before. What is left over is the features going
in and the mask coming out. Before the first hop all is zero.
"""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError
from pipeline.networks.graph import LONGEST_WAIT
from pipeline.networks.rewrites import GATE

Array = NDArray[Any]
_NEXT = "_next"
_AGO = re.compile(r"(?P<source>.+)_ago(?P<delays>[1-9][0-9]*(_[1-9][0-9]*)*)")


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

    @property
    def size_bytes(self) -> int:
        """Bytes of all elements."""
        return math.prod(self.shape) * self.dtype.itemsize

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


def states_of(model: ModelInterface) -> tuple[str, ...]:
    """Names of the inputs that are fed back from an output `<name>_next`.

    Raises:
        TargetError: a state whose output is shaped, typed or quantized otherwise than its input.
    """
    states = tuple(name for name in model.inputs if name + _NEXT in model.outputs)
    for name in states:
        _check_fed_back(model.outputs[name + _NEXT], model.inputs[name], 1)
    return states


@dataclass(frozen=True)
class Delayed:
    """An input that holds earlier frames of a tensor, side by side in its last axis.

    Attributes:
        input: its name, `<tensor>_ago<delays>`, the delays joined by underscores.
        source: the tensor: the features, or an output.
        delays: how many hops ago each of the frames was.
    """

    input: str
    source: str
    delays: tuple[int, ...]


@dataclass(frozen=True)
class HopModel:
    """Names of a model's tensors by role: features in, mask out, what is fed back.

    A `gate` of one value, if there is one, says how soon the next hop is to be computed.
    """

    features: str
    mask: str
    states: tuple[str, ...]
    delayed: tuple[Delayed, ...] = ()
    gate: str | None = None

    @classmethod
    def of(cls, model: ModelInterface) -> HopModel:
        """Read the roles off the names.

        Raises:
            TargetError: a state output without a matching input, what is fed back quantized or
                shaped otherwise than where it goes, or not exactly one features input and one mask
                output.
        """
        states = states_of(model)
        delayed = tuple(
            Delayed(name, match["source"], tuple(int(d) for d in match["delays"].split("_")))
            for name in model.inputs
            if name not in states and (match := _AGO.fullmatch(name))
        )
        fed = {*states, *(item.input for item in delayed)}
        sources = {item.source for item in delayed}
        features = [name for name in model.inputs if name not in fed]
        for item in delayed:
            if item.source not in (*model.outputs, *features):
                raise TargetError(f"input {item.input!r}: {item.source!r} is no output")
        gate = GATE if GATE in model.outputs else None
        masks = [
            name
            for name in model.outputs
            if name not in (*sources, gate) and name.removesuffix(_NEXT) not in states
        ]
        if len(features) != 1 or len(masks) != 1:
            raise TargetError(
                f"expected one features input and one mask output beside what is fed back "
                f"({sorted(fed)}); found inputs {features} and outputs {masks}"
            )
        known = {**model.outputs, features[0]: model.inputs[features[0]]}
        for item in delayed:
            _check_fed_back(known[item.source], model.inputs[item.input], len(item.delays))
        if gate is not None and (delayed or math.prod(model.outputs[gate].shape) != 1):
            raise TargetError(
                f"{gate!r} is {list(model.outputs[gate].shape)}, with {len(delayed)} inputs of "
                "earlier frames; expected one value and none"
            )
        return cls(features[0], masks[0], states, delayed, gate)


def _check_fed_back(source: TensorSpec, target: TensorSpec, frames: int) -> None:
    expected = (*source.shape[:-1], frames * source.shape[-1])
    before = (target.shape, target.dtype, target.scale, target.zero_point)
    if before != (expected, source.dtype, source.scale, source.zero_point):
        raise TargetError(
            f"{target.name!r} goes in as {target} and comes out as {source}; expected the "
            f"same type and quantization, and {frames} times the last axis"
        )


def skipped_hops(share: float) -> int:
    """How many hops a gate lets pass before the next is computed (`training.skipping`)."""
    wait = LONGEST_WAIT if share <= 0 else math.ceil(0.5 / share)
    return min(wait, LONGEST_WAIT) - 1


class HopStream:
    """Runs a one-hop model hop after hop with its state fed back, from the zero state.

    A model with a gate is not run for the hops that this lets pass; the last mask stays.

    Attributes:
        computed: of every hop so far, whether it was not let pass.

    Raises:
        TargetError: the model's tensors do not follow the naming above.
    """

    def __init__(self, runner: Runner) -> None:
        """Start a stream of a one-hop model whose features input is [1, F]."""
        self._runner, self._roles = runner, HopModel.of(runner)
        self._states = {name: runner.inputs[name].zeros() for name in self._roles.states}
        self._skips, self._mask = 0, runner.outputs[self._roles.mask].zeros()
        self.computed: list[bool] = []
        specs = {**runner.outputs, **runner.inputs}
        self._past: dict[str, deque[Array]] = {}
        for item in self._roles.delayed:
            longest = max(max(item.delays), len(self._past.get(item.source, ())))
            self._past[item.source] = deque([specs[item.source].zeros()] * longest, longest)

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
            self.computed.append(not self._skips)
            if self._skips:
                self._skips -= 1
            else:
                self._compute(hop)
            masks.append(self._mask.reshape(1, -1))
        return np.concatenate(masks)

    def _compute(self, hop: Array) -> None:
        """The network's part of a hop."""
        frame = {self._roles.features: hop[None]}
        outputs = self._runner.step({**frame, **self._states, **self._delayed()})
        self._states = {name: outputs[name + _NEXT] for name in self._roles.states}
        for source, past in self._past.items():
            past.append({**outputs, **frame}[source])
        self._mask = outputs[self._roles.mask]
        if self._roles.gate is not None:
            share = self._runner.outputs[self._roles.gate].dequantize(outputs[self._roles.gate])
            self._skips = skipped_hops(float(share.item()))

    def _delayed(self) -> dict[str, Array]:
        return {
            item.input: np.concatenate(
                [self._past[item.source][-delay] for delay in item.delays], axis=-1
            )
            for item in self._roles.delayed
        }

    def real(self, features: Array) -> NDArray[np.float32]:
        """The next hops, the mask as real values."""
        return self._runner.outputs[self._roles.mask].dequantize(self(features))


def stream(runner: Runner, features: Array) -> Array:
    """All hops of a stream at once; see `HopStream`."""
    return HopStream(runner)(features)
