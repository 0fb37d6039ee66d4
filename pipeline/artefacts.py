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
from operator import attrgetter
from pathlib import Path
from typing import Any

from pipeline.config import Config
from pipeline.digests import Digests, sha256_file
from pipeline.errors import PipelineError

CARD_NAME = "card.json"
DIGESTS_NAME = ".digests.json"
TOOLS = (
    "ethos-u-vela",
    "numpy",
    "tensorflow",
    "tensorflow-model-optimization",
    "tf-keras",
    "tflite-micro",
)


class ArtefactError(PipelineError, RuntimeError):
    """An earlier stage's output is missing or damaged."""


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
        key: SHA-256 over settings, seed, inputs, files and tool versions; equal key, equal result.
        seed: the run's seed.
        config: the settings the stage depends on.
        inputs: key of each earlier stage it read.
        outputs: SHA-256 of each file it wrote.
        versions: tool versions.
        wall_s: time taken, seconds.
        results: the stage's own numbers.
        files: SHA-256 of what each setting names that points to a file or folder.
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
    files: dict[str, str] = dataclasses.field(default_factory=dict)


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
Check = Callable[[Config], None]


@dataclasses.dataclass(frozen=True)
class Stage:
    """A step of the pipeline that runs at most once for the same settings and inputs.

    Attributes:
        name: of the stage and its folder.
        needs: earlier stages whose folders it reads.
        sections: config sections it reads; together with the seed, the inputs, the files and the
            tool versions they make the key that decides whether a finished stage is still valid.
        body: ``(config, run_dir, work_dir) -> results``; writes its files to ``work_dir``.
        reads: settings that name a file or folder, e.g. "train.initial_weights"; what is in it
            goes into the key.
        check: raises `InputError` for settings that cannot work, before anything is computed.
    """

    name: str
    needs: tuple[str, ...]
    sections: tuple[str, ...]
    body: Body
    reads: tuple[str, ...] = ()
    check: Check = lambda config: None

    def __call__(self, config: Config, run_dir: RunDir, force: bool = False) -> StageCard:
        """Run the stage, or return its card if it is still valid."""
        return self._complete(config, run_dir, force, self.body)

    def adopt(self, config: Config, run_dir: RunDir, body: Body) -> StageCard:
        """Fill the stage's folder with results that were made elsewhere."""
        return self._complete(config, run_dir, True, body)

    def _complete(self, config: Config, run_dir: RunDir, force: bool, body: Body) -> StageCard:
        self.check(config)
        settings = config.model_dump(mode="json", include=set(self.sections))
        inputs = {need: run_dir.card(need).key for need in self.needs}
        files = digests_of(config, self.reads, run_dir)
        versions = tool_versions()
        parts = [self.name, config.seed, settings, inputs, versions]
        key = sha256_json([*parts, files] if files else parts)
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
            self.name, key, config.seed, settings, inputs, outputs, versions, wall_s, results, files
        )
        write_json(partial / CARD_NAME, dataclasses.asdict(card))
        shutil.rmtree(final, ignore_errors=True)
        os.replace(partial, final)
        # As it is read later: JSON has no tuples.
        return run_dir.card(self.name)


def digests_of(config: Config, settings: tuple[str, ...], run_dir: RunDir) -> dict[str, str]:
    """SHA-256 of what settings name, a path or several; those that name nothing left out.

    Raises:
        InputError: there is no such file or folder; the text names the setting.
    """
    paths: dict[str, Path | None] = {}
    for setting in settings:
        value = attrgetter(setting)(config)
        several = enumerate(value) if isinstance(value, tuple) else ()
        paths |= {f"{setting}[{k}]": path for k, path in several} or {setting: value or None}
    digests = Digests(run_dir.root / DIGESTS_NAME)
    return {name: digests.of(name, path) for name, path in paths.items() if path is not None}


def stage(
    name: str,
    *,
    needs: tuple[str, ...],
    sections: tuple[str, ...],
    reads: tuple[str, ...] = (),
    check: Check = lambda config: None,
) -> Callable[[Body], Stage]:
    """Decorate a body as a `Stage`; its docstring becomes the command line's description."""

    def decorate(body: Body) -> Stage:
        made = Stage(name, needs, sections, body, reads, check)
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
