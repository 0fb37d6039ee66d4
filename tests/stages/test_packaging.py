"""What `pip install` of the project brings along."""

import glob
import tomllib
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
