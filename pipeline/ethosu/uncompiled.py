"""Reads a TFLite file before Vela, or says what else it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from ethosu.vela.tflite.Model import Model

from .errors import ModelError
from .file_kinds import MALFORMED, damage, require_tflite


def read_uncompiled(path: Path) -> bytes:
    """A TFLite file that Vela has not seen, with one subgraph of at least one operator.

    Raises:
        ModelError: naming the path, what is wrong, and what to do.
    """
    content = path.read_bytes()
    try:
        _require_uncompiled(content)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
    except MALFORMED as error:
        raise ModelError(f"{path}: {damage(error)}") from error
    return content


def _require_uncompiled(content: bytes) -> None:
    require_tflite(content)
    model = Model.GetRootAs(content, 0)
    if model.SubgraphsLength() != 1:
        raise ModelError(
            f"has {model.SubgraphsLength()} subgraphs, expected 1: export one signature without "
            "control flow (IF, WHILE, CALL_ONCE)"
        )
    graph = model.Subgraphs(0)
    for index in np.concatenate((graph.InputsAsNumpy(), graph.OutputsAsNumpy()), axis=None):
        graph.Tensors(int(index)).Name()
    if not graph.OperatorsLength():
        raise ModelError("has no operators")
    codes = (model.OperatorCodes(i).CustomCode() for i in range(model.OperatorCodesLength()))
    if b"ethos-u" in codes:
        raise ModelError("is compiled by Vela already; give the .tflite file it was made from")
