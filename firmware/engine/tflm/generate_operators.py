"""Write the operator resolver that some TFLite models need, before and after Vela, and no more.

    python generate_operators.py RESOLVER HEADER MODEL.tflite [MODEL.tflite ...]

RESOLVER is TFLite Micro's micro_mutable_op_resolver.h, which says how its methods are spelt. Needs
the ethos-u-vela package for the TFLite schema.
"""

import re
import sys
from collections.abc import Mapping
from pathlib import Path

from ethosu.vela.tflite.BuiltinOperator import BuiltinOperator
from ethosu.vela.tflite.Model import Model

_BUILTIN_NAMES = {code: name for name, code in vars(BuiltinOperator).items() if name.isupper()}
_NPU_METHOD = "AddEthosU"
_CUSTOM_METHODS = {"ethos-u": _NPU_METHOD}
_METHOD = re.compile(r"\bTfLiteStatus (Add\w+)\(")
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


def resolver_methods(resolver: str) -> dict[str, str]:
    """Methods that the text of TFLite Micro's header declares, by their names in small letters."""
    return {name.lower(): name for name in _METHOD.findall(resolver)}


def operator_methods(content: bytes, known: Mapping[str, str]) -> set[str]:
    """Names of the MicroMutableOpResolver methods that register a model's operators.

    Args:
        content: of a TFLite file.
        known: see `resolver_methods`.

    Raises:
        ValueError: not a TFLite file, or an operator TFLite Micro does not have.
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
            name = _BUILTIN_NAMES[builtin]
            method = known.get("add" + name.replace("_", "").lower())
            if method is None:
                raise ValueError(f"operator {name} is unknown to TFLite Micro")
            methods.add(method)
    return methods


def header(resolver: str, models: list[Path]) -> str:
    """The C++ header that registers the operators of all models."""
    known = resolver_methods(resolver)
    used = (operator_methods(model.read_bytes(), known) for model in models)
    methods = sorted({_NPU_METHOD}.union(*used))
    calls = "\n".join(f"  TF_LITE_ENSURE_STATUS(resolver.{method}());" for method in methods)
    names = ", ".join(model.name for model in models)
    return _HEADER.format(models=names, count=len(methods), calls=calls)


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(f"usage: {sys.argv[0]} RESOLVER HEADER MODEL.tflite [MODEL.tflite ...]")
    resolver, written, *models = map(Path, sys.argv[1:])
    written.write_text(header(resolver.read_text(encoding="utf-8"), models))
