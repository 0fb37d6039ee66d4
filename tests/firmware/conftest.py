"""Compiled stand-ins for the enhancer, each made once."""

from __future__ import annotations

import pytest
from compiled_enhancer import Compiled, compile_model


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    return compile_model(tmp_path_factory.mktemp("model"), "int8")


@pytest.fixture(scope="session")
def compiled_int16(tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    return compile_model(tmp_path_factory.mktemp("model"), "int16")
