"""`python -m pipeline` is the table of contents."""

import ast
import importlib
import runpy
import sys
from pathlib import Path

import pytest

from pipeline.__main__ import commands, main
from pipeline.tools.run import STAGES


def test_every_stage_and_tool_is_listed_with_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    known = commands()
    stages = {stage.name for stage in STAGES}
    assert {"run", "enhance", "emulate", *stages} <= known.keys()
    assert all(len(line) > 20 for line in known.values())


def test_a_listed_command_is_a_module_that_can_be_run() -> None:
    assert callable(importlib.import_module("pipeline.tools.enhance").main)
    assert all(importlib.util.find_spec(f"pipeline.{name}") for name in commands())


def test_code_imports_stages_and_tools_by_their_place_alone() -> None:
    """By the short name, the one for ``python -m``, a module would exist twice."""
    short = {
        f"pipeline.{path.stem}"
        for folder in ("stages", "tools")
        for path in Path("pipeline", folder).glob("[!_]*.py")
    }
    for path in (*Path("pipeline").rglob("*.py"), *Path("tests").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module:
                modules = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            assert short.isdisjoint(modules), f"{path}: {short.intersection(modules)}"


def test_no_stage_imports_another() -> None:
    for path in Path("pipeline/stages").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                assert not str(node.module).startswith("pipeline.stages"), path


def test_without_a_command_the_list_is_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["pipeline"])
    main()
    shown = capsys.readouterr().out
    assert all(line in shown for line in commands().values())


def test_a_command_gets_its_own_arguments(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["pipeline", "enhance", "--help"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    assert "usage: python -m pipeline.enhance" in capsys.readouterr().out


def test_an_unknown_command_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["pipeline", "enhnce"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("pipeline", run_name="__main__")
    assert ended.value.code == 2
    assert "'enhnce' is no command" in capsys.readouterr().err
