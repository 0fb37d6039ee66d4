"""Write the operator resolver that some TFLite models need, before and after Vela, and no more.

    python generate_operators.py HEADER MODEL.tflite [MODEL.tflite ...]

Needs the ethos-u-vela package for the TFLite schema.
"""

import sys
from pathlib import Path

from ethosu.vela.tflite.BuiltinOperator import BuiltinOperator
from ethosu.vela.tflite.Model import Model

_BUILTIN_NAMES = {code: name for name, code in vars(BuiltinOperator).items() if name.isupper()}
_NPU_METHOD = "AddEthosU"
_CUSTOM_METHODS = {"ethos-u": _NPU_METHOD}
# TFLite Micro writes acronyms in capitals.
_ACRONYMS = {"Lstm": "LSTM"}
_HEADER = """#pragma once

// Written by generate_operators.py from: {models}

#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"

namespace enhancer {{

using OperatorResolver = tflite::MicroMutableOpResolver<{count}>;

inline TfLiteStatus add_operators(OperatorResolver& resolver) {{
{calls}
  return kTfLiteOk;
}}

}}  // namespace enhancer
"""


def operator_methods(content: bytes) -> set[str]:
    """Names of the MicroMutableOpResolver methods that register a model's operators.

    Raises:
        ValueError: not a TFLite file, or a custom operator TFLite Micro does not have.
    """
    if content[4:8] != b"TFL3":
        raise ValueError("not a TFLite file: identifier TFL3 is missing")
    model = Model.GetRootAs(content, 0)
    methods = set()
    for index in range(model.OperatorCodesLength()):
        code = model.OperatorCodes(index)
        builtin = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        if builtin == BuiltinOperator.CUSTOM:
            name = (code.CustomCode() or b"").decode(errors="replace")
            if name not in _CUSTOM_METHODS:
                raise ValueError(f"custom operator {name!r} is unknown to TFLite Micro")
            methods.add(_CUSTOM_METHODS[name])
        else:
            words = _BUILTIN_NAMES[builtin].title().split("_")
            methods.add("Add" + "".join(_ACRONYMS.get(word, word) for word in words))
    return methods


def header(models: list[Path]) -> str:
    """The C++ header that registers the operators of all models."""
    used = (operator_methods(model.read_bytes()) for model in models)
    methods = sorted({_NPU_METHOD}.union(*used))
    calls = "\n".join(f"  TF_LITE_ENSURE_STATUS(resolver.{method}());" for method in methods)
    names = ", ".join(model.name for model in models)
    return _HEADER.format(models=names, count=len(methods), calls=calls)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(f"usage: {sys.argv[0]} HEADER MODEL.tflite [MODEL.tflite ...]")
    Path(sys.argv[1]).write_text(header([Path(name) for name in sys.argv[2:]]))
