"""Run directory, stage cards and atomic outputs.

A run directory holds one folder a stage, with a ``card.json`` that says what made it. A stage
writes to ``.<stage>.partial`` and is renamed when it is complete, so a folder that carries the
stage's name is always whole. The partial folder survives a kill: a stage may keep checkpoints in
it and find them again, as long as its settings and inputs are the same.
"""

import dataclasses
import hashlib
import importlib.metadata
import json
import os
import platform
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline.config import Config

CARD_NAME = "card.json"
TOOLS = (
    "ethos-u-vela",
    "numpy",
    "tensorflow",
    "tensorflow-model-optimization",
    "tf-keras",
    "tflite-micro",
)


class ArtefactError(RuntimeError):
    """An earlier stage's output is missing or damaged."""


def sha256_file(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_json(value: Any) -> str:
    """Hex SHA-256 of JSON data: the key of a result, made from all that decides it."""
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


def write_atomically(path: Path, data: bytes | str) -> None:
    """Write a file under a temporary name, then rename it into place."""
    temporary = path.with_name(f".{path.name}.tmp{os.getpid()}")
    temporary.write_bytes(data.encode() if isinstance(data, str) else data)
    os.replace(temporary, path)


def write_json(path: Path, value: Any) -> None:
    """Write readable JSON atomically; NaN is refused so that any reader can parse it."""
    write_atomically(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def tool_versions() -> dict[str, str]:
    """Python and package versions that shape the results."""
    versions = {"python": platform.python_version()}
    return versions | {name: importlib.metadata.version(name) for name in TOOLS}


@dataclasses.dataclass(frozen=True)
class StageCard:
    """What a finished stage did.

    Attributes:
        stage: stage name.
        key: SHA-256 over settings, seed, inputs and tool versions; equal key, equal result.
        seed: the run's seed.
        config: the settings the stage depends on.
        inputs: key of each earlier stage it read.
        outputs: SHA-256 of each file it wrote.
        versions: tool versions.
        wall_s: time taken, seconds.
        results: the stage's own numbers.
    """

    stage: str
    key: str
    seed: int
    config: dict[str, Any]
    inputs: dict[str, str]
    outputs: dict[str, str]
    versions: dict[str, str]
    wall_s: float
    results: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class RunDir:
    """A folder of stage folders."""

    root: Path

    def path(self, stage: str) -> Path:
        """Folder of a finished stage."""
        return self.root / stage

    def partial(self, stage: str) -> Path:
        """Folder a stage works in until it is finished."""
        return self.root / f".{stage}.partial"

    def card(self, stage: str) -> StageCard:
        """Card of a finished stage.

        Raises:
            ArtefactError: the stage has not run, or its card is damaged.
        """
        path = self.path(stage) / CARD_NAME
        try:
            return StageCard(**json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError as error:
            raise ArtefactError(
                f"{path} does not exist: run `python -m pipeline.{stage} --run-dir {self.root}`"
            ) from error
        except (ValueError, TypeError) as error:
            raise ArtefactError(
                f"{path}: not a stage card ({error}); delete {path.parent}"
            ) from error


Body = Callable[[Config, RunDir, Path], dict[str, Any]]


@dataclasses.dataclass(frozen=True)
class Stage:
    """A step of the pipeline that runs at most once for the same settings and inputs.

    Attributes:
        name: of the stage and its folder.
        needs: earlier stages whose folders it reads.
        sections: config sections it reads; together with the seed, the inputs and the tool
            versions they make the key that decides whether a finished stage is still valid.
        body: ``(config, run_dir, work_dir) -> results``; writes its files to ``work_dir``.
    """

    name: str
    needs: tuple[str, ...]
    sections: tuple[str, ...]
    body: Body

    def __call__(self, config: Config, run_dir: RunDir, force: bool = False) -> StageCard:
        """Run the stage, or return its card if it is still valid."""
        return self._complete(config, run_dir, force, self.body)

    def adopt(self, config: Config, run_dir: RunDir, body: Body) -> StageCard:
        """Fill the stage's folder with results that were made elsewhere."""
        return self._complete(config, run_dir, True, body)

    def _complete(self, config: Config, run_dir: RunDir, force: bool, body: Body) -> StageCard:
        settings = config.model_dump(mode="json", include=set(self.sections))
        inputs = {need: run_dir.card(need).key for need in self.needs}
        versions = tool_versions()
        key = sha256_json([self.name, config.seed, settings, inputs, versions])
        final, partial = run_dir.path(self.name), run_dir.partial(self.name)
        if not force and _is_whole(run_dir, self.name, key):
            return run_dir.card(self.name)

        key_file = partial / "key"
        if force or not key_file.exists() or key_file.read_text() != key:
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            key_file.write_text(key)
        started = time.monotonic()
        results = body(config, run_dir, partial)
        wall_s = round(time.monotonic() - started, 1)
        key_file.unlink()
        outputs = {
            str(path.relative_to(partial)): sha256_file(path)
            for path in sorted(partial.rglob("*"))
            if path.is_file()
        }
        card = StageCard(
            self.name, key, config.seed, settings, inputs, outputs, versions, wall_s, results
        )
        write_json(partial / CARD_NAME, dataclasses.asdict(card))
        shutil.rmtree(final, ignore_errors=True)
        os.replace(partial, final)
        return card


def stage(
    name: str, *, needs: tuple[str, ...], sections: tuple[str, ...]
) -> Callable[[Body], Stage]:
    """Decorate a body as a `Stage`; its docstring becomes the command line's description."""

    def decorate(body: Body) -> Stage:
        made = Stage(name, needs, sections, body)
        object.__setattr__(made, "__doc__", body.__doc__)
        return made

    return decorate


def _is_whole(run_dir: RunDir, name: str, key: str) -> bool:
    try:
        card = run_dir.card(name)
    except ArtefactError:
        return False
    folder = run_dir.path(name)
    return card.key == key and all((folder / output).is_file() for output in card.outputs)
