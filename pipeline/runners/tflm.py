"""TFLite Micro's interpreter, on this machine, as a target."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.runners import Array, TargetError, TensorSpec, check_inputs

_STDERR = 2
_ARENA_LINE = re.compile(r"Arena allocation total (\d+) bytes")
_DEFAULT_ARENA_BYTES = 1 << 20


class TflmRunner:
    """Runs a one-hop model with the C++ kernels the firmware links, in their portable form."""

    def __init__(self, model: Path | bytes, arena_bytes: int = _DEFAULT_ARENA_BYTES) -> None:
        """Load a `.tflite` file or its bytes into an arena of at most `arena_bytes`.

        Raises:
            TargetError: an operator TFLite Micro lacks, or an arena too small.
        """
        from tflite_micro.python.tflite_micro import runtime

        content = model.read_bytes() if isinstance(model, Path) else model
        with _captured_stderr() as log:
            try:
                self._interpreter = runtime.Interpreter.from_bytes(content, arena_size=arena_bytes)
            except Exception as error:  # The bindings raise whatever a broken offset leads to.
                reason = f"{error}; {_read(log)}"
                source = model if isinstance(model, Path) else "the model"
                raise TargetError(f"TFLite Micro cannot load {source}: {reason}") from error
        graph = runtime.convert_bytearray_to_object(bytearray(content)).subgraphs[0]
        self.inputs = dict(
            _spec(graph.tensors[tensor], self._interpreter.get_input_details(position))
            for position, tensor in enumerate(graph.inputs)
        )
        self.outputs = dict(
            _spec(graph.tensors[tensor], self._interpreter.get_output_details(position))
            for position, tensor in enumerate(graph.outputs)
        )

    def step(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """One hop; see `Runner.step`."""
        check_inputs(self.inputs, inputs)
        for position, name in enumerate(self.inputs):
            self._interpreter.set_input(inputs[name], position)
        self._interpreter.invoke()
        return {
            name: self._interpreter.get_output(position)
            for position, name in enumerate(self.outputs)
        }

    def arena_used_bytes(self) -> int:
        """What the model needs of the arena on this machine.

        Pointers are 8 bytes here and 4 on a Cortex-M, so the device needs somewhat less.
        """
        with _captured_stderr() as log:
            self._interpreter.print_allocations()
            found = _ARENA_LINE.search(_read(log))
        if found is None:
            raise TargetError("TFLite Micro did not report its arena; its log format has changed")
        return int(found.group(1))


def _spec(tensor: Any, details: Mapping[str, Any]) -> tuple[str, TensorSpec]:
    name = tensor.name.decode()
    quantization = details["quantization_parameters"]
    if not np.issubdtype(details["dtype"], np.integer) or len(quantization["scales"]) != 1:
        raise TargetError(f"tensor {name!r} is {details['dtype'].__name__}; expected quantized")
    return name, TensorSpec(
        name,
        tuple(int(size) for size in details["shape"]),
        np.dtype(details["dtype"]),
        float(quantization["scales"][0]),
        int(quantization["zero_points"][0]),
    )


@contextmanager
def _captured_stderr() -> Iterator[Any]:
    """Collect what C++ code writes to the process's error stream, in a temporary file."""
    with tempfile.TemporaryFile() as log:
        kept = os.dup(_STDERR)
        try:
            os.dup2(log.fileno(), _STDERR)
            yield log
        finally:
            os.dup2(kept, _STDERR)
            os.close(kept)


def _read(log: Any) -> str:
    log.seek(0)
    return " | ".join(log.read().decode(errors="replace").splitlines())
