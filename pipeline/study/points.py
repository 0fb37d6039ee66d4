"""Makes points: a model, its proof, its cost on every deployment, its quality hop by hop."""

import dataclasses
import json
import math
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pipeline.artefacts import (
    RunDir,
    digests_of,
    sha256_json,
    tool_versions,
    write_atomically,
)
from pipeline.config import DENSE, PLACEMENT_MODES, Config, Deployment
from pipeline.corpora.testset import Mixture
from pipeline.ethosu import memory_system, vela
from pipeline.ethosu.vela_config import ARM, VelaConfig
from pipeline.metrics.peers import Enhancer, enhancers, load_peers
from pipeline.metrics.quality import (
    ClipPair,
    ClipScores,
    Scores,
    scores_as_json,
    scoring,
    summarise,
    summary_as_json,
)
from pipeline.networks.groups import groups
from pipeline.networks.trained import Trained
from pipeline.reporting.results import DENSE_FLOAT, Flash
from pipeline.runners.tflite import TfliteRunner
from pipeline.stages.compile import summary
from pipeline.stages.compress import RESULT, compress_variant
from pipeline.stages.convert import write_model
from pipeline.stages.evaluate import in_float, streamed
from pipeline.stages.prepare import prepared_corpus
from pipeline.stages.train import WEIGHTS
from pipeline.study.plan import Task
from pipeline.study.records import (
    Boot,
    Cost,
    Point,
    Quality,
    Reference,
    Split,
    StudyError,
    points_in,
)

FLASH_REGION = 0
KEY = "key"
MODEL_SECTIONS = {"data", "mixing", "model", "train"}


@dataclasses.dataclass(frozen=True)
class Bench:
    """Everything a task needs to make a point, on any machine that sees the same folders.

    Attributes:
        config: of the run; a task brings its own seed.
        run_dir: holds the corpus and the dense network.
        folder: gets a folder of models and a folder of points.
        split: whose mixtures are scored.
    """

    config: Config
    run_dir: RunDir
    folder: Path
    split: Split

    @property
    def models(self) -> Path:
        """A folder a model."""
        return self.folder / "models"

    def tflite(self, name: str) -> Path:
        """A model, lowered."""
        return self.models / name / f"{name}.tflite"

    def point(self, name: str) -> Path:
        """A file a point."""
        return points_in(self.folder) / f"{name}.json"

    def model_key(self, task: Task) -> str:
        """Of everything that decides a model's weights."""
        compress = self.config.compress.model_dump(mode="json", exclude={"variants"})
        settings = self.config.model_dump(mode="json", include=MODEL_SECTIONS)
        # A setting that a variant does not use leaves its key as it was before there was one.
        chain = [v.model_dump(mode="json", exclude_defaults=True) for v in task.chain]
        return sha256_json([task.seed, settings, compress, chain, self._inputs(), tool_versions()])

    def point_key(self, task: Task) -> str:
        """Of everything that decides a point."""
        deployments = [d.model_dump(mode="json") for d in self.config.study.deployments]
        parts = [self.model_key(task), deployments, self.config.study.sram_bytes, self.split]
        files = digests_of(self.config, ("compile.vela_config",), self.run_dir)
        return sha256_json([*parts, files] if files else parts)

    def reference_key(self) -> str:
        """Of everything that decides what points are compared with."""
        peers = self.config.evaluate.peers
        return sha256_json([self._inputs(), peers, self.split, tool_versions()])

    def has_model(self, task: Task) -> bool:
        """Whether it is finished, whatever made it."""
        return (self.models / task.name / RESULT).exists()

    def has_point(self, task: Task) -> bool:
        """Whether it is there, made with these settings.

        Raises:
            StudyError: it is there but damaged.
        """
        path = self.point(task.name)
        return path.exists() and Point.load(path).key == self.point_key(task)

    def has_reference(self) -> bool:
        """Likewise."""
        path = self.point(DENSE)
        return path.exists() and Reference.load(path).key == self.reference_key()

    @property
    def systems(self) -> VelaConfig:
        """What Vela knows of systems and memory modes."""
        return VelaConfig.load(self.config.compile.vela_config)

    def mixtures(self) -> list[Mixture]:
        """What is scored."""
        return list(prepared_corpus(self.run_dir).mixtures(self.split))

    def dense(self) -> Trained:
        """What every chain starts from."""
        return Trained.load(self.run_dir.path("train") / WEIGHTS)

    def _inputs(self) -> dict[str, str]:
        return {need: self.run_dir.card(need).key for need in ("prepare", "train")}


def adopt_model(bench: Bench, task: Task, models: Path) -> bool:
    """Take over a finished model that was trained elsewhere, whatever its settings were.

    Returns:
        Whether ``models`` has it.
    """
    source, target = models / task.name, bench.models / task.name
    if not (source / RESULT).exists():
        return False
    if source.resolve() != target.resolve():
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(source, target)
    write_atomically(target / KEY, bench.model_key(task))
    return True


def make_model(bench: Bench, task: Task) -> None:
    """Compress; the parent's model must be finished.

    Raises:
        StudyError: a model of this name was made with other settings.
    """
    folder, key = bench.models / task.name, bench.model_key(task)
    folder.mkdir(parents=True, exist_ok=True)
    key_file = folder / KEY
    if not key_file.exists():
        write_atomically(key_file, key)
    elif key_file.read_text() != key:
        raise StudyError(
            f"{folder}: made with other settings or tools; delete it to make it again, or give "
            "the variant another name"
        )
    config = bench.config.model_copy(update={"seed": task.seed})
    compress_variant(config, bench.run_dir, task.chain[-1], bench.models)


def make_reference(bench: Bench) -> None:
    """Score what points are compared with, and write it."""
    config, dense = bench.config, bench.dense()
    peers = load_peers(config.data.cache_dir.expanduser(), config.evaluate.peers)
    systems = enhancers(peers, config.model.bands) | {DENSE_FLOAT: in_float(dense)}
    mixtures = bench.mixtures()
    rows = {name: _scored(enhance, mixtures) for name, enhance in systems.items()}
    parameters = (a.size for name, a in dense.arrays.items() if not name.endswith("/mask"))
    Reference(
        key=bench.reference_key(),
        split=bench.split,
        parameters=sum(parameters),
        systems={name: _quality(scored) for name, scored in rows.items()},
        clips={row.clip: scores_as_json(row.scores) for row in rows[DENSE_FLOAT]},
    ).save(bench.point(DENSE))


def make_point(bench: Bench, task: Task) -> None:
    """Lower a finished model, prove, compile and score it, and write the point.

    Needs the reference.
    """
    folder = bench.models / task.name
    trained = Trained.load(folder / f"{task.name}.safetensors")
    tflite = bench.tflite(task.name)
    proof = write_model(trained, tflite, list(prepared_corpus(bench.run_dir).mixtures("valid")))
    made = json.loads((folder / RESULT).read_text())
    enhance = streamed(TfliteRunner(tflite), trained.front_end)
    rows = _scored(enhance, bench.mixtures())
    dense = Reference.load(bench.point(DENSE)).clips
    Point(
        key=bench.point_key(task),
        name=task.name,
        base=task.base,
        seed=task.seed,
        chain=task.chain,
        split=bench.split,
        units={group.name: group.units for group in groups(trained.graph)},
        sparsity=made["sparsity"],
        weights_left=sum(
            int(mask.sum()) for name, mask in trained.arrays.items() if name.endswith("/mask")
        ),
        scheme=trained.scheme.name,
        zero_weights=proof["zero_weights"],
        mismatching=proof["tflite_vs_tflm"]["mismatching"],
        quality=_quality(rows),
        change=_quality([_difference(row, dense[row.clip]) for row in rows]),
        costs=tuple(
            cost
            for deployment in bench.config.study.deployments
            for cost in costs(tflite, deployment, bench.config.study.sram_bytes, bench.systems)
        ),
        versions=tool_versions(),
    ).save(bench.point(task.name))


def costs(
    tflite: Path, deployment: Deployment, sram_bytes: int, systems: VelaConfig = ARM
) -> Iterator[Cost]:
    """Compile for every placement of the weights.

    Args:
        tflite: the model.
        deployment: NPU and memories.
        sram_bytes: there is for arena and copied weights; if they do not fit, that placement is
            left out. With the weights in SRAM from the start it is not asked, for comparison.
        systems: describes the deployment's.
    """
    flash_mode, sram_mode = PLACEMENT_MODES
    in_flash = _compiled(tflite, deployment, flash_mode, systems)
    in_sram = _compiled(tflite, deployment, sram_mode, systems)
    yield Cost(placement="flash", sram_bytes=in_flash["arena_bytes"], boot=None, **in_flash)
    constants = Flash(**in_sram["flash"]).constants
    needed = constants + in_sram["arena_bytes"]
    if needed <= sram_bytes:
        flash = memory_system(deployment.system, flash_mode, systems).memory(FLASH_REGION)
        boot = Boot(bytes=constants, cycles=math.ceil(constants / flash.bytes_per_cycle))
        yield Cost(placement="sram_copy", sram_bytes=needed, boot=boot, **in_sram)
    yield Cost(placement="sram", sram_bytes=needed, boot=None, **in_sram)


def _compiled(
    tflite: Path, deployment: Deployment, mode: str, systems: VelaConfig
) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as scratch:
        compiled = summary(
            vela.compile(
                tflite,
                Path(scratch),
                deployment.accelerator,
                deployment.system,
                memory_mode=mode,
                config=systems,
            )
        )
    del compiled["layers"]
    return compiled | {"memory_mode": mode}


def _scored(enhance: Enhancer, mixtures: Sequence[Mixture]) -> list[ClipScores]:
    """Score in this process: points are what is made in parallel."""
    with scoring() as score_all:
        return list(score_all(ClipPair(m.name, m.snr_db, m.clean, enhance(m)) for m in mixtures))


def _quality(rows: Sequence[ClipScores]) -> Quality:
    return Quality.model_validate(summary_as_json(summarise(rows))["overall"])


def _difference(row: ClipScores, dense: dict[str, float | None]) -> ClipScores:
    """A clip's scores minus the dense network's; NaN where either has none."""
    before = {name: math.nan if value is None else value for name, value in dense.items()}
    after = row.scores.by_metric()
    scores = {name: value - before[name] for name, value in after.items()}
    return dataclasses.replace(row, scores=Scores(**scores))
