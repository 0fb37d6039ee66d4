"""Makes points: a model's cost on every deployment, its quality hop by hop."""

import dataclasses
import math
import tempfile
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from pipeline.artefacts import Card, Need, RunDir, Stage, stage, tool_versions
from pipeline.config import DENSE, PLACEMENT_MODES, Config, Deployment
from pipeline.corpora.testset import Mixture
from pipeline.deployed import Deployed
from pipeline.enhancers import in_float, streamed
from pipeline.ethosu import memory_system, vela
from pipeline.ethosu.vela_config import ARM, VelaConfig
from pipeline.ethosu.weight_statistics import weight_tensors
from pipeline.inputs import prepared_corpus
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
from pipeline.models import Model
from pipeline.networks.groups import groups
from pipeline.networks.trained import Trained
from pipeline.reporting.results import DENSE_FLOAT
from pipeline.runners.tflite import TfliteRunner
from pipeline.stages import compress, convert, prepare, train
from pipeline.study.records import Boot, Cost, Point, Quality, Reference, Split

FLASH_REGION = 0
STAGE_OF = {"test": "point", "valid": "trial"}


@dataclasses.dataclass(frozen=True)
class Bench:
    """Everything that points are made with, on any machine that sees the run directory.

    Attributes:
        config: of the run; a model brings its own seed.
        run_dir: holds all that was made.
        split: whose mixtures are scored.
    """

    config: Config
    run_dir: RunDir
    split: Split

    @property
    def _stages(self) -> tuple[Stage, ...]:
        """What makes the items a point comes from."""
        made = (prepare.run, train.run, compress.run, compress.by_toolkit, convert.run)
        return (*made, *point_stages(self.split))

    def stage(self, need: Need) -> Stage:
        """What makes an item."""
        name, model = need
        return next(
            stage
            for stage in self._stages
            if stage.item.removesuffix("/{model}") == name and (model is None or stage.of(model))
        )

    def need(self, model: Model) -> Need:
        """The point of a model."""
        return STAGE_OF[self.split], model

    @property
    def reference_need(self) -> Need:
        """What points are compared with."""
        return f"{STAGE_OF[self.split]}/{DENSE}", None

    def is_finished(self, need: Need) -> bool:
        """Whether an item and all it comes from are there, made with these settings."""
        _, model = need
        stage = self.stage(need)
        before = stage.inputs(self.config, model)
        return all(map(self.is_finished, before)) and stage.is_finished(
            self.config, self.run_dir, model
        )

    def make(self, need: Need) -> Card:
        """Make an item; all that it comes from has to be there."""
        return self.stage(need).make(self.config, self.run_dir, need[1])

    def point(self, model: str) -> Point:
        """A finished point."""
        return Point.of(self.run_dir.card(f"{STAGE_OF[self.split]}/{model}"))

    def reference(self) -> Reference:
        """Likewise what points are compared with."""
        return Reference.of(self.run_dir.card(self.reference_need[0]))


def adopt_model(bench: Bench, model: Model, folder: Path) -> bool:
    """Take over a finished model that was trained elsewhere, whatever its settings were.

    Args:
        folder: the compress stage's of another run.

    Returns:
        Whether it is there, and what it starts from too.
    """
    path = folder / model.name / f"{model.name}.safetensors"
    parent = model.parent
    if not path.exists() or (parent and not bench.is_finished(("compress", parent))):
        return False
    results = RunDir(folder).card(model.name).results

    def taken(config: Config, run_dir: RunDir, work_dir: Path, model: Model) -> dict[str, Any]:
        Trained.load(path).save(work_dir / path.name)
        return results

    compress.run.adopt(bench.config, bench.run_dir, taken, model)
    return True


@cache
def point_stages(split: Split) -> tuple[Stage, Stage]:
    """Stages that make the reference and the points, scored on one split."""
    kind = STAGE_OF[split]

    @stage(f"{kind}/{DENSE}", needs=("prepare", "train"), settings=("evaluate.peers",))
    def reference(config: Config, run_dir: RunDir, work_dir: Path) -> dict[str, Any]:
        """Score what points are compared with."""
        dense = Trained.load(run_dir.dense)
        peers = load_peers(config.data.cache_dir.expanduser(), config.evaluate.peers)
        systems = enhancers(peers, dense.front_end.bands) | {DENSE_FLOAT: in_float(dense)}
        mixtures = list(prepared_corpus(run_dir).mixtures(split))
        rows = {name: _scored(enhance, mixtures) for name, enhance in systems.items()}
        parameters = (a.size for name, a in dense.arrays.items() if not name.endswith("/mask"))
        return Reference(
            split=split,
            parameters=sum(parameters),
            systems={name: _quality(scored) for name, scored in rows.items()},
            clips={row.clip: scores_as_json(row.scores) for row in rows[DENSE_FLOAT]},
        ).results()

    @stage(
        f"{kind}/{{model}}",
        needs=("prepare", "compress/{model}", "convert/{model}", f"{kind}/{DENSE}"),
        settings=("study.deployments", "study.sram_bytes"),
        reads=("compile.vela_config",),
    )
    def point(config: Config, run_dir: RunDir, work_dir: Path, model: Model) -> dict[str, Any]:
        """Compile a model for every deployment and score it hop by hop."""
        deployed = Deployed.load(run_dir.tflite(model.name))
        converted = run_dir.card(f"convert/{model.name}").results
        enhance = streamed(TfliteRunner(deployed.tflite), deployed.front_end)
        rows = _scored(enhance, list(prepared_corpus(run_dir).mixtures(split)))
        dense = Reference.of(run_dir.card(f"{kind}/{DENSE}")).clips
        systems = VelaConfig.load(config.compile.vela_config)
        units, weights_left = _left(run_dir, model)
        return Point(
            name=model.name,
            base=model.base,
            seed=model.seed,
            chain=model.chain,
            split=split,
            units=units,
            sparsity=run_dir.card(f"compress/{model.name}").results["sparsity"],
            weights_left=weights_left,
            scheme=converted["scheme"],
            zero_weights=converted["zero_weights"],
            mismatching=converted["tflite_vs_tflm"]["mismatching"],
            **{name: share for name, share in converted.items() if name.startswith("computed_")},
            quality=_quality(rows),
            change=_quality([_difference(row, dense[row.clip]) for row in rows]),
            costs=tuple(
                cost
                for deployment in config.study.deployments
                for cost in costs(deployed.tflite, deployment, config.study.sram_bytes, systems)
            ),
            versions=tool_versions(),
        ).results()

    return reference, point


def _left(run_dir: RunDir, model: Model) -> tuple[dict[str, int], int]:
    """Units by group, and weights that are not masked; the toolkit has no masks but zeros."""
    if model.variant.toolkit:
        stored = weight_tensors(run_dir.tflite(model.name).read_bytes())
        return {}, sum(tensor.elements - tensor.zeros for tensor in stored)
    trained = Trained.load(run_dir.weights(model.name))
    masks = (mask for name, mask in trained.arrays.items() if name.endswith("/mask"))
    units = {group.name: group.units for group in groups(trained.graph)}
    return units, sum(int(mask.sum()) for mask in masks)


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
    constants = vela.FlashBytes(**in_sram["flash"]).constants
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
        compiled = vela.compile(
            tflite,
            Path(scratch),
            deployment.accelerator,
            deployment.system,
            memory_mode=mode,
            config=systems,
        ).summary()
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
