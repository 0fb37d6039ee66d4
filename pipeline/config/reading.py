"""Settings from a file; what is wrong in it is said in the file's own terms."""

import difflib
import tomllib
from pathlib import Path
from typing import get_args

from pydantic import BaseModel, ValidationError

from pipeline.config.tree import Config, ConfigError


def load(path: Path) -> Config:
    """Read and check a TOML file, with or without a byte-order mark.

    Raises:
        ConfigError: names the file, the key, what was expected and the closest valid name.
    """
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as TOML: {error}") from error
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        raise ConfigError("\n".join(f"{path}: {line}" for line in _explain(error))) from error


def _explain(error: ValidationError) -> list[str]:
    lines = []
    for problem in error.errors():
        parts = [str(part) for part in problem["loc"]]
        if parts[:1] == ["model"]:
            # The second part says which network's settings these are.
            del parts[1:2]
        key = ".".join(parts)
        if problem["type"] == "extra_forbidden":
            close = difflib.get_close_matches(key, _keys(Config), n=1, cutoff=0.0)
            lines.append(f"unknown setting {key!r}; did you mean {close[0]!r}?")
        elif problem["type"] == "value_error":
            # A rule between settings: its text names them, and its input is a whole section.
            section = f"{key}: " if key else ""
            lines.append(section + problem["msg"].removeprefix("Value error, "))
        else:
            lines.append(f"{key} = {problem['input']!r}: {problem['msg']}")
    return lines


def _keys(section: type[BaseModel], prefix: str = "") -> list[str]:
    names: list[str] = []
    for name, field in section.model_fields.items():
        names.append(prefix + name)
        for annotation in (field.annotation, *get_args(field.annotation)):
            kind = getattr(annotation, "__origin__", annotation)
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                names += _keys(kind, f"{prefix}{name}.")
    return names
