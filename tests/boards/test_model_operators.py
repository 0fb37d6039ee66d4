"""The operators linked with TensorFlow Lite Micro: those of the models, as it spells them."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import flatbuffers
import pytest
from tensorflow.lite.python import schema_py_generated as schema

_SPEC = importlib.util.spec_from_file_location(
    "generate_operators", Path("firmware/engine/tflm/generate_operators.py")
)
assert _SPEC is not None and _SPEC.loader is not None
generator = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(generator)

RESOLVER = """
  TfLiteStatus AddBatchMatMul() {
  TfLiteStatus AddConv2D(const TFLMRegistration& registration = Register_CONV_2D()) {
  TfLiteStatus AddEthosU() {
  TfLiteStatus AddPadV2() {
  TfLiteStatus AddUnidirectionalSequenceLSTM(
"""


def write_model(path: Path, *operators: str, custom: str | None = None) -> Path:
    """A file whose table of operators has these."""
    model = schema.ModelT()
    model.operatorCodes = []
    for name in operators:
        code = schema.OperatorCodeT()
        code.builtinCode = getattr(schema.BuiltinOperator, name)
        code.deprecatedBuiltinCode = min(code.builtinCode, 127)
        code.customCode = custom if name == "CUSTOM" else None
        model.operatorCodes.append(code)
    builder = flatbuffers.Builder(0)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    return path


def test_every_operator_is_called_as_the_resolver_spells_it(tmp_path: Path) -> None:
    models = [
        write_model(tmp_path / "a.tflite", "CONV_2D", "BATCH_MATMUL", "PADV2"),
        write_model(tmp_path / "b.tflite", "CUSTOM", "CONV_2D", custom="ethos-u"),
        write_model(tmp_path / "c.tflite", "UNIDIRECTIONAL_SEQUENCE_LSTM"),
    ]
    text = generator.header(RESOLVER, models)
    for method in RESOLVER.split():
        if method.startswith("Add"):
            assert text.count(f"resolver.{method.partition('(')[0]}()") == 1
    assert "MicroMutableOpResolver<5>" in text


def test_operators_without_a_kernel_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="operator CUMSUM is unknown"):
        generator.header(RESOLVER, [write_model(tmp_path / "a.tflite", "CUMSUM")])
    with pytest.raises(ValueError, match="custom operator 'mine' is unknown"):
        generator.header(RESOLVER, [write_model(tmp_path / "b.tflite", "CUSTOM", custom="mine")])
