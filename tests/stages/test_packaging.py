"""What `pip install` of the project brings along."""

import ast
import glob
import importlib.metadata
import re
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path

from setuptools import find_packages


def test_the_wheel_holds_every_file_of_the_package() -> None:
    settings = tomllib.loads(Path("pyproject.toml").read_text())["tool"]["setuptools"]
    packages = find_packages(include=settings["packages"]["find"]["include"])
    patterns = {name: ["*.py", *settings["package-data"].get(name, [])] for name in packages}
    packed = {
        Path(path)
        for name, globs in patterns.items()
        for pattern in globs
        for path in glob.glob(f"{name.replace('.', '/')}/{pattern}", recursive=True)
    }
    files = (path for path in Path("pipeline").rglob("*") if path.is_file())
    assert {path for path in files if path.parent.name != "__pycache__"} - packed == set()


def test_what_is_imported_is_declared_and_what_is_declared_is_imported() -> None:
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    modules = imported(Path("pipeline").rglob("*.py"))
    distributions = importlib.metadata.packages_distributions()
    used = {normal(name) for module in modules for name in distributions.get(module, [])}
    needed, more = names(project["dependencies"]), set()
    for extra in ("gpu", "peers", "pesq", "study"):
        more |= names(extras[extra])
    assert needed - used == set()
    installed = {normal(name) for names in distributions.values() for name in names}
    assert (more & installed) - used == set()
    assert used - needed - more - {normal(project["name"])} == set()


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def names(requirements: list[str]) -> set[str]:
    return {normal(re.split(r"[<>=!~\[ ]", requirement)[0]) for requirement in requirements}


def imported(paths: Iterable[Path]) -> set[str]:
    """Top-level modules that are imported anywhere, those of Python itself left out."""
    found = set()
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                found.add(node.module.partition(".")[0])
    return found - sys.stdlib_module_names
