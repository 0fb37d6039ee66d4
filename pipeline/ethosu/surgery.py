"""Cuts TFLite models, float ends off or one part out of the middle, and names their ends."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ethosu.vela.tflite.BuiltinOperator import BuiltinOperator
from ethosu.vela.tflite.TensorType import TensorType

from .errors import ModelError
from .file_kinds import MALFORMED, damage

_FLOATS = {TensorType.FLOAT32, TensorType.FLOAT16, TensorType.FLOAT64}
_ABSENT = -1


@dataclass(frozen=True)
class CutModel:
    """A model without its float ends; `removed` names the conversions that were cut off."""

    content: bytes
    removed: tuple[str, ...]


def cut_float_ends(content: bytes) -> CutModel:
    """Takes QUANTIZE at float inputs and DEQUANTIZE at float outputs off a TFLite model.

    An input is cut only if nothing else reads it, an output only if nothing else reads it either;
    everything else stays as it is.

    Raises:
        ModelError: the file is damaged.
    """
    try:
        return _cut_float_ends(content)
    except MALFORMED as error:
        raise damage(error) from error


def _cut_float_ends(content: bytes) -> CutModel:
    model = _unpacked(content)
    graph = model.subgraphs[0]
    removed = []
    for kind, ends in (("QUANTIZE", "inputs"), ("DEQUANTIZE", "outputs")):
        for operator in [op for op in graph.operators if _is_builtin(model, op, kind)]:
            (source,), (target,) = operator.inputs, operator.outputs
            outer, inner = (source, target) if ends == "inputs" else (target, source)
            readers = [op for op in graph.operators if outer in op.inputs and op is not operator]
            own, other = getattr(graph, ends), graph.outputs if ends == "inputs" else graph.inputs
            if (
                graph.tensors[outer].type not in _FLOATS
                or outer not in own
                or readers
                or outer in other
                or (ends == "inputs" and inner in graph.outputs)
            ):
                continue
            setattr(graph, ends, [inner if index == outer else index for index in own])
            graph.operators = [op for op in graph.operators if op is not operator]
            removed.append(f"{kind} ({graph.tensors[outer].name.decode(errors='replace')})")
    return CutModel(_packed(model) if removed else content, tuple(removed))


def extract(content: bytes, inputs: Sequence[str], outputs: Sequence[str]) -> bytes:
    """The operators between tensors, as a model of its own.

    Args:
        content: a TFLite model with one subgraph.
        inputs: names of the tensors it starts from; they become its inputs, in this order.
        outputs: names of the tensors it ends in.

    Raises:
        ModelError: a name that no tensor or several tensors have, or an output that takes more
            than the inputs.
    """
    model = _unpacked(content)
    graph = model.subgraphs[0]
    places: dict[str, list[int]] = {}
    for index, tensor in enumerate(graph.tensors):
        places.setdefault((tensor.name or b"").decode(errors="replace"), []).append(index)
    graph.inputs = [_only(places, name) for name in inputs]
    graph.outputs = [_only(places, name) for name in outputs]
    known, needed = set(graph.inputs), set(graph.outputs)
    kept: list[Any] = []
    for operator in reversed(graph.operators):
        if needed & set(operator.outputs) - known:
            kept.insert(0, operator)
            needed |= {index for index in operator.inputs if index != _ABSENT}
    made = {index for operator in kept for index in operator.outputs}
    fed = {index for index in needed - known - made if not _is_constant(model, graph, index)}
    if fed:
        names = sorted((graph.tensors[index].name or b"").decode() for index in fed)
        raise ModelError(f"the part also takes {', '.join(names)}")
    graph.operators = kept
    return _packed(model)


def named_ends(content: bytes) -> bytes:
    """A model whose inputs and outputs are called as its signature says, and nothing else is.

    TensorFlow's converter names them after how it read the model; Keras' names are in the
    signature, which goes.

    Raises:
        ModelError: the file is damaged.
    """
    try:
        model = _schema().ModelT.InitFromPackedBuf(bytearray(content), 0)
        graph = model.subgraphs[0]
        ends = {
            end.tensorIndex: end.name
            for signature in model.signatureDefs or ()
            for end in (*signature.inputs, *signature.outputs)
        }
        for index, tensor in enumerate(graph.tensors):
            if index not in ends and tensor.name in ends.values():
                tensor.name += b"/inner"
            tensor.name = ends.get(index, tensor.name)
        model.signatureDefs = None
        return _packed(model)
    except MALFORMED as error:
        raise damage(error) from error


def _only(places: dict[str, list[int]], name: str) -> int:
    found = places.get(name, [])
    if len(found) != 1:
        raise ModelError(f"{len(found)} tensors of the model are named {name!r}, expected 1")
    return found[0]


def _is_constant(model: Any, graph: Any, index: int) -> bool:
    tensor = graph.tensors[index]
    return tensor.isVariable or model.buffers[tensor.buffer].data is not None


def _is_builtin(model: Any, operator: Any, name: str) -> bool:
    code = model.operatorCodes[operator.opcodeIndex]
    number = max(code.builtinCode, code.deprecatedBuiltinCode)
    return bool(number == getattr(BuiltinOperator, name))


@cache
def _schema() -> Any:
    """TensorFlow's reader and writer of the format, without the seconds TensorFlow itself takes."""
    package = importlib.util.find_spec("tensorflow")
    if package is None or package.origin is None:
        raise ModelError("cutting a model takes the tensorflow package, which is not installed")
    path = Path(package.origin).parent / "lite" / "python" / "schema_py_generated.py"
    spec = importlib.util.spec_from_file_location("tflite_schema", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _unpacked(content: bytes) -> Any:
    model = _schema().ModelT.InitFromPackedBuf(bytearray(content), 0)
    model.signatureDefs = None  # They would name tensors that are no ends any more.
    return model


def _packed(model: Any) -> bytes:
    import flatbuffers

    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())
