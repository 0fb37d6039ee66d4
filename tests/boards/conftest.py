"""Compiled stand-ins for the enhancer, each made once."""

from __future__ import annotations

import pytest
from compiled_enhancer import Compiled, compile_model
from enhancer_model import delaying_model, enhancer_model


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    return compile_model(tmp_path_factory.mktemp("model"), enhancer_model())


@pytest.fixture(scope="session")
def compiled_int16(tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    return compile_model(tmp_path_factory.mktemp("model"), enhancer_model(dtype="int16"))


@pytest.fixture(scope="session")
def compiled_delaying(tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    return compile_model(tmp_path_factory.mktemp("model"), delaying_model())
