"""The store of finished items, with their cards: what is there is whole and is not made again.

An item is what a stage makes of one model (``compress/weight80``) or of the run as a whole
(``train``). Its folder in the run directory holds its files and a ``card.json`` that says what made
it. Its key is made of all that decides it: settings, the model's own variant, contents of the items
it reads and of the files that settings name, tool versions, the version of the stage. An item is
written to a hidden folder beside its place and renamed when it is complete, so a folder that
carries its name is always whole. The hidden folder survives a kill: a stage may keep checkpoints in
it and find them again, as long as the key is the same.
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
from pipeline.errors import InputError, PipelineError
from pipeline.models import Model, models

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
    """An item that is read is missing or damaged."""


def sha256_json(value: Any) -> str:
    """Hex SHA-256 of JSON data: the key of a result, made from all that decides it."""
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


def write_atomically(path: Path, data: bytes | str) -> None:
    """Write a file under a temporary name, then rename it into place; an error leaves neither."""
    temporary = path.with_name(f".{path.name}.tmp{os.getpid()}")
    try:
        temporary.write_bytes(data.encode() if isinstance(data, str) else data)
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from error


def write_json(path: Path, value: Any) -> None:
    """Write readable JSON atomically; NaN is refused so that any reader can parse it."""
    write_atomically(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def tool_versions() -> dict[str, str]:
    """Python and package versions that shape the results."""
    versions = {"python": platform.python_version()}
    return versions | {name: importlib.metadata.version(name) for name in TOOLS}


@dataclasses.dataclass(frozen=True)
class Card:
    """What a finished item is and what made it.

    Attributes:
        item: its name.
        key: SHA-256 over all that decides it; equal key, equal result.
        config: the settings it depends on.
        inputs: digest of each item it read.
        outputs: SHA-256 of each of its files.
        versions: tool versions.
        wall_s: time taken, seconds.
        results: the stage's own numbers.
        files: SHA-256 of what each setting names that points to a file or folder.
    """

    item: str
    key: str
    config: dict[str, Any]
    inputs: dict[str, str]
    outputs: dict[str, str]
    versions: dict[str, str]
    wall_s: float
    results: dict[str, Any]
    files: dict[str, str]

    @property
    def digest(self) -> str:
        """Of what it is made from and of its contents, for what reads it."""
        return sha256_json([self.key, self.outputs])


@dataclasses.dataclass(frozen=True)
class RunDir:
    """A folder of items."""

    root: Path

    def path(self, item: str) -> Path:
        """Folder of a finished item."""
        return self.root / item

    def partial(self, item: str) -> Path:
        """Folder an item is made in until it is finished."""
        path = self.path(item)
        return path.with_name(f".{path.name}.partial")

    def card(self, item: str) -> Card:
        """Card of a finished item.

        Raises:
            ArtefactError: it has not been made, or its card is damaged.
        """
        path = self.path(item) / CARD_NAME
        stage = item.partition("/")[0]
        try:
            return Card(**json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError as error:
            raise ArtefactError(
                f"{path} does not exist: run `python -m pipeline.{stage} --run-dir {self.root}`"
            ) from error
        except (ValueError, TypeError) as error:
            raise ArtefactError(f"{path}: not a card ({error}); delete {path.parent}") from error

    @property
    def corpus(self) -> Path:
        """The prepared corpus."""
        return self.path("prepare") / "corpus"

    @property
    def front_end(self) -> Path:
        """The front end measured on it."""
        return self.path("prepare") / "front_end.safetensors"

    @property
    def dense(self) -> Path:
        """The dense floating-point network."""
        return self.path("train") / "dense.safetensors"

    def weights(self, model: str) -> Path:
        """A compressed network."""
        return self.path(f"compress/{model}") / f"{model}.safetensors"

    def produced(self, model: str) -> Path:
        """What the optimization toolkit made instead of one."""
        return self.path(f"compress/{model}") / f"{model}.tflite"

    def tflite(self, model: str) -> Path:
        """A model as TFLite, its card beside it."""
        return self.path(f"convert/{model}") / f"{model}.tflite"

    def compiled(self, model: str, memory_mode: str) -> Path:
        """A model compiled for a memory mode."""
        return self.path(f"compile/{model}") / memory_mode / f"{model}_vela.tflite"

    def audio(self, item: str) -> Path:
        """The clips to listen to of an item of the evaluation, a folder each."""
        return self.path(f"evaluate/{item}") / "audio"


Body = Callable[..., dict[str, Any]]
Check = Callable[[Config], None]
Need = tuple[str, Model | None]
"""Stage, and the model whose item of it is needed; None: the one of the run as a whole."""


@dataclasses.dataclass(frozen=True)
class Stage:
    """A step of the pipeline: how its items are made.

    Attributes:
        item: name of the run's only item, e.g. "train", or of the one of a model, e.g.
            "compress/{model}".
        version: number to raise when the stage makes something else of the same inputs.
        needs: items that it reads: "train", "convert/{model}" of the same model,
            "compress/{parent}" of what it starts from (none, if that is the dense network), or
            "compile/*" of every model.
        settings: that decide the items, whole sections or single ones, e.g. "compile.system"; of
            the variants a model's item depends on its own alone.
        body: ``(config, run_dir, work_dir) -> results``, with ``model`` as last argument for a
            model's item; writes its files to ``work_dir``.
        reads: settings that name a file or folder, e.g. "train.initial_weights"; what is in it
            goes into the key, as does what methods of the variant read where it decides.
        check: raises `InputError` for settings that cannot work, before anything is computed.
        of: which models it makes items of.
    """

    item: str
    version: int
    needs: tuple[str, ...]
    settings: tuple[str, ...]
    body: Body
    reads: tuple[str, ...] = ()
    check: Check = lambda config: None
    of: Callable[[Model], bool] = lambda model: True

    @property
    def name(self) -> str:
        """Of the stage and the command that runs it."""
        return self.item.partition("/")[0]

    def models(self, config: Config) -> tuple[Model | None, ...]:
        """What a run makes items of."""
        if self.name in config.skipped_stages:
            return ()
        if "{model}" not in self.item:
            return (None,)
        return tuple(model for model in models(config) if self.of(model))

    def item_of(self, model: Model | None) -> str:
        """Name of an item."""
        return self.item.format(model=model and model.name)

    def inputs(self, config: Config, model: Model | None) -> tuple[Need, ...]:
        """What has to be there before an item can be made."""
        found: list[Need] = []
        for need in self.needs:
            stage, _, which = need.partition("/")
            if which == "*":
                found += [(stage, each) for each in models(config)]
            elif which == "{parent}":
                found += [(stage, model.parent)] if model and model.parent else []
            else:
                found.append((stage, model) if which == "{model}" else (need, None))
        skipped = config.skipped_stages
        return tuple(need for need in found if need[0].partition("/")[0] not in skipped)

    def input_items(self, config: Config, model: Model | None = None) -> tuple[str, ...]:
        """Names of what an item reads."""
        return tuple(
            stage if each is None else f"{stage}/{each.name}"
            for stage, each in self.inputs(config, model)
        )

    def __call__(self, config: Config, run_dir: RunDir, force: bool = False) -> tuple[Card, ...]:
        """Make every item of a run that is not finished.

        Raises:
            InputError: there is nothing to make, or settings that cannot work.
        """
        if self.name in config.skipped_stages:
            raise InputError(
                f"{self.name} has nothing to do for network = {config.model.network!r}"
            )
        self.check(config)
        return tuple(self.make(config, run_dir, model, force) for model in self.models(config))

    def make(
        self, config: Config, run_dir: RunDir, model: Model | None = None, force: bool = False
    ) -> Card:
        """Make one item, or return its card if it is finished; what it reads must be there."""
        return self._complete(config, run_dir, model, force, self.body)

    def adopt(
        self, config: Config, run_dir: RunDir, body: Body, model: Model | None = None
    ) -> Card:
        """Fill an item's folder with what was made elsewhere."""
        return self._complete(config, run_dir, model, True, body)

    def is_finished(self, config: Config, run_dir: RunDir, model: Model | None = None) -> bool:
        """Whether an item is there, made of what there is now and with these settings."""
        try:
            key = self._decided_by(config, run_dir, model).key
            card = run_dir.card(self.item_of(model))
        except ArtefactError:
            return False
        folder = run_dir.path(card.item)
        return card.key == key and all((folder / output).is_file() for output in card.outputs)

    def _decided_by(self, config: Config, run_dir: RunDir, model: Model | None) -> Card:
        """The card of an item before it is made.

        Raises:
            ArtefactError: an item that it reads is not there.
        """
        item, settings = self.item_of(model), self._settings(config, model)
        needs = self.input_items(config, model)
        inputs = {need: run_dir.card(need).digest for need in needs}
        files = digests_of(self._paths(config, model), run_dir)
        versions = tool_versions()
        key = sha256_json([item, self.version, settings, inputs, files, versions])
        return Card(item, key, settings, inputs, {}, versions, 0.0, {}, files)

    def _paths(self, config: Config, model: Model | None) -> dict[str, Path]:
        """Files and folders that settings name, by setting."""
        paths: dict[str, Path | None] = {}
        for setting in self.reads:
            value = attrgetter(setting)(config)
            several = enumerate(value) if isinstance(value, tuple) else ()
            paths |= {f"{setting}[{k}]": path for k, path in several} or {setting: value or None}
        if model is not None and "compress" in self.settings:
            paths |= model.files
        return {name: path for name, path in paths.items() if path is not None}

    def _settings(self, config: Config, model: Model | None) -> dict[str, Any]:
        whole = config.model_dump(mode="json")
        if model is not None:
            # A setting that a variant does not use leaves its key as it was before there was one.
            own = model.variant.model_dump(mode="json", exclude_defaults=True)
            whole["compress"]["variants"], whole["seed"] = [own], model.seed
        return {name: _setting(whole, name) for name in self.settings}

    def _complete(
        self, config: Config, run_dir: RunDir, model: Model | None, force: bool, body: Body
    ) -> Card:
        if not force and self.is_finished(config, run_dir, model):
            return run_dir.card(self.item_of(model))
        card = self._decided_by(config, run_dir, model)
        final, partial = run_dir.path(card.item), run_dir.partial(card.item)
        key_file = partial / "key"
        if force or not key_file.exists() or key_file.read_text() != card.key:
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            key_file.write_text(card.key)
        started = time.monotonic()
        if model is None:
            results = body(config, run_dir, partial)
        else:
            results = body(config.model_copy(update={"seed": model.seed}), run_dir, partial, model)
        wall_s = round(time.monotonic() - started, 1)
        key_file.unlink()
        outputs = {
            str(path.relative_to(partial)): sha256_file(path)
            for path in sorted(partial.rglob("*"))
            if path.is_file()
        }
        made = dataclasses.replace(card, outputs=outputs, wall_s=wall_s, results=results)
        write_json(partial / CARD_NAME, dataclasses.asdict(made))
        shutil.rmtree(final, ignore_errors=True)
        os.replace(partial, final)
        # As it is read later: JSON has no tuples.
        return run_dir.card(card.item)


def _setting(tree: Any, name: str) -> Any:
    for part in name.split("."):
        # What is left out of files where it is not given counts as not given.
        tree = tree.get(part)
    return tree


def digests_of(paths: dict[str, Path], run_dir: RunDir) -> dict[str, str]:
    """SHA-256 of what is there, by the setting that names it.

    Raises:
        InputError: there is no such file or folder; the text names the setting.
    """
    digests = Digests(run_dir.root / DIGESTS_NAME)
    return {name: digests.of(name, path) for name, path in paths.items()}


def stage(
    item: str,
    *,
    version: int = 1,
    needs: tuple[str, ...],
    settings: tuple[str, ...],
    reads: tuple[str, ...] = (),
    check: Check = lambda config: None,
    of: Callable[[Model], bool] = lambda model: True,
) -> Callable[[Body], Stage]:
    """Decorate a body as a `Stage`; its docstring becomes the command line's description."""

    def decorate(body: Body) -> Stage:
        made = Stage(item, version, needs, settings, body, reads, check, of)
        object.__setattr__(made, "__doc__", body.__doc__)
        return made

    return decorate
