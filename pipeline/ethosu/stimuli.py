"""Inputs for a compiled model: random, at the edges of the types, from a file, or fed back."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from .errors import StimulusError
from .golden import Arrays
from .model import TensorSpec, VelaModel

_UNREADABLE = (
    ValueError, EOFError, KeyError, MemoryError, NotImplementedError, RuntimeError, SyntaxError,
    TypeError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip


def random_inputs(specs: Sequence[TensorSpec], rng: np.random.Generator) -> Arrays:
    """Full-range random arrays by tensor name."""
    inputs = {}
    for spec in specs:
        limits = np.iinfo(spec.dtype)
        inputs[spec.name] = rng.integers(limits.min, limits.max + 1, spec.shape).astype(spec.dtype)
    return inputs


def edge_inputs(specs: Sequence[TensorSpec]) -> Iterator[tuple[str, Arrays]]:
    """Every tensor at its zero point, lowest and highest value, then the two extremes in turn."""
    for name in ("zero points", "lowest", "highest", "extremes in turn"):
        inputs = {}
        for spec in specs:
            limits = np.iinfo(spec.dtype)
            values = {"zero points": spec.zero_point, "lowest": limits.min, "highest": limits.max}
            array = np.full(spec.shape, values.get(name, limits.min), spec.dtype)
            if name not in values:
                array.reshape(-1)[::2] = limits.max
            inputs[spec.name] = array
        yield name, inputs


def read_inputs(path: Path, specs: Sequence[TensorSpec]) -> list[Arrays]:
    """Inputs of each inference from a `.npy` for one tensor or a `.npz` by tensor name.

    Arrays have the tensor's type and its shape, with or without a leading axis of inferences.

    Raises:
        StimulusError: naming the file and the tensor, what was expected and what is there.
    """
    arrays = _read_arrays(path, specs)
    names = [spec.name for spec in specs]
    if arrays.keys() != set(names):
        raise StimulusError(f"{path}: holds {sorted(arrays)}, expected {names}")
    batches = {spec.name: _batch(path, arrays[spec.name], spec) for spec in specs}
    counts = {name: len(values) for name, values in batches.items()}
    if len(set(counts.values())) != 1:
        raise StimulusError(f"{path}: numbers of inferences differ: {counts}")
    (count,) = set(counts.values())
    if not count:
        raise StimulusError(f"{path}: holds no inference")
    return [{name: values[index] for name, values in batches.items()} for index in range(count)]


def _read_arrays(path: Path, specs: Sequence[TensorSpec]) -> Arrays:
    if not specs:
        raise StimulusError(f"{path}: the model takes no input that is not fed back")
    try:
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            if not isinstance(loaded, np.ndarray):
                return dict(loaded)
    except _UNREADABLE as error:
        words = " ".join(str(error).split()) or type(error).__name__
        raise StimulusError(f"{path}: is not a readable .npy or .npz file: {words}") from error
    if len(specs) > 1:
        names = [spec.name for spec in specs]
        raise StimulusError(f"{path}: holds one array, the model has inputs {names}: give a .npz")
    return {specs[0].name: loaded}


def _batch(path: Path, values: np.ndarray, spec: TensorSpec) -> np.ndarray:
    if values.dtype != spec.dtype:
        hint = f", in steps of {spec.scale:g} from zero point {spec.zero_point}"
        raise StimulusError(
            f"{path}: {spec.name} is {values.dtype}, expected {spec.dtype}"
            + (hint if spec.scale and values.dtype.kind == "f" else "")
        )
    batch_of_one = spec.shape[:1] == (1,) and values.shape[1:] == spec.shape[1:]
    if not (values.shape == spec.shape or values.shape[1:] == spec.shape or batch_of_one):
        raise StimulusError(
            f"{path}: {spec.name} has shape {list(values.shape)}, expected {list(spec.shape)}, "
            "with or without a leading axis of inferences"
        )
    return values.reshape(-1, *spec.shape)


class Feedback:
    """Which outputs become which inputs of the next inference.

    Args:
        pairs: "OUTPUT=INPUT" each; tensor names may hold "=" themselves.

    Raises:
        StimulusError: an unknown tensor, with the valid ones, a pair whose types or sizes or
            quantizations differ, or an input fed twice.
    """

    def __init__(self, pairs: Sequence[str], model: VelaModel) -> None:
        outputs = {spec.name: spec for spec in model.outputs}
        self._inputs = {spec.name: spec for spec in model.inputs}
        self._sources: dict[str, str] = {}
        for pair in pairs:
            source, target = _split(pair, outputs, self._inputs)
            _require_equal(outputs[source], self._inputs[target])
            if target in self._sources:
                raise StimulusError(f"input {target!r} is fed twice")
            self._sources[target] = source

    @property
    def free_inputs(self) -> tuple[TensorSpec, ...]:
        """Inputs that are not fed back."""
        return tuple(s for name, s in self._inputs.items() if name not in self._sources)

    def start(self) -> Arrays:
        """Fed inputs at their zero point."""
        specs = [self._inputs[name] for name in self._sources]
        return {s.name: np.full(s.shape, s.zero_point, s.dtype) for s in specs}

    def carry(self, outputs: Arrays) -> Arrays:
        """Fed inputs of the next inference, from the outputs of this one."""
        return {
            target: outputs[source].reshape(self._inputs[target].shape)
            for target, source in self._sources.items()
        }


def _split(
    pair: str, outputs: dict[str, TensorSpec], inputs: dict[str, TensorSpec]
) -> tuple[str, str]:
    parts = pair.split("=")
    splits = [("=".join(parts[:i]), "=".join(parts[i:])) for i in range(1, len(parts))]
    for source, target in splits:
        if source in outputs and target in inputs:
            return source, target
    raise StimulusError(
        f"--state {pair}: expected OUTPUT=INPUT with an output of {_listed(outputs)} "
        f"and an input of {_listed(inputs)}"
    )


def _listed(specs: dict[str, TensorSpec]) -> str:
    return ", ".join(f"{name} {_describe(spec)}" for name, spec in specs.items())


def _describe(spec: TensorSpec) -> str:
    return f"({spec.dtype.name}{list(spec.shape)}, scale {spec.scale:g}, zero {spec.zero_point})"


def _require_equal(source: TensorSpec, target: TensorSpec) -> None:
    same_type = source.dtype == target.dtype and source.size_bytes == target.size_bytes
    if same_type and (source.scale, source.zero_point) == (target.scale, target.zero_point):
        return
    raise StimulusError(
        f"--state {source.name}={target.name}: the output is {_describe(source)}, the input "
        f"{_describe(target)}; its values would mean something else: give both tensors one "
        "quantization when the model is converted"
    )
