"""Shipped: trained models as small files that stand in for the training stages.

``python -m pipeline.shipped save`` copies a run's models and what its training stages reported to
``tflite_models/``; ``python -m pipeline.shipped restore`` makes a run directory from them in which
train and compress count as done, so that `pipeline.run` goes on with conversion, compilation and
evaluation. The dense network is called "dense" there; ``--dense NAME`` calls it otherwise, beside
the one of another run.
"""

import argparse
import dataclasses
import json
import shutil
import sys
from pathlib import Path
from typing import Any

from pipeline.artefacts import RunDir, write_json
from pipeline.cli import command_parser, parse, reported_errors
from pipeline.config import DENSE, Config
from pipeline.deployed import Deployed
from pipeline.errors import InputError
from pipeline.models import Model, models
from pipeline.networks.trained import Trained
from pipeline.stages import compress, prepare, train

FOLDER = Path("tflite_models")
STAGES = ("compress", "convert", "compile")


def save(config: Config, run_dir: RunDir, folder: Path, dense: str = DENSE) -> None:
    """Copy every network, trained and converted, each with a card, to ``folder``.

    Args:
        config: settings of the run.
        run_dir: what it made.
        folder: where to.
        dense: name of the dense network there.
    """
    folder.mkdir(exist_ok=True)
    heard = {
        "source": config.data.source,
        "synthetic_minutes": config.data.synthetic_minutes,
        "more_packages": config.data.more_packages,
        "parts": run_dir.card("prepare").results["parts"],
    }
    # Weights that were taken as they are have a file and a card already.
    if config.train.steps:
        trained = run_dir.card("train")
        shutil.copy(run_dir.dense, folder / f"{dense}.safetensors")
        write_json(
            folder / f"{dense}.card.json",
            {
                "seed": config.seed,
                "data": heard,
                "config": trained.config,
                "versions": trained.versions,
                "results": trained.results,
            },
        )
    for variant in (each for each in config.compress.variants if not each.toolkit):
        converted = Deployed.load(run_dir.tflite(variant.name))
        cards = {stage: run_dir.card(f"{stage}/{variant.name}") for stage in STAGES}
        weights = run_dir.weights(variant.name)
        as_deployed(Trained.load(weights)).save(folder / weights.name)
        Deployed.write(
            folder / converted.tflite.name,
            converted.tflite.read_bytes(),
            converted.card,
            {
                "seed": config.seed,
                "data": heard,
                "variant": variant.model_dump(mode="json"),
                "config": cards["compress"].config,
                "versions": cards["compress"].versions,
            }
            | {stage: card.results for stage, card in cards.items()},
        )


def as_deployed(trained: Trained) -> Trained:
    """The network with the kernels that its integers stand for: a quarter of the bytes."""
    model = trained.build()
    for matrix in model.matrices:
        matrix.kernel.assign(matrix.value())
    return dataclasses.replace(trained, arrays=model.get_arrays())


def restore(config: Config, run_dir: RunDir, folder: Path, dense: str = DENSE) -> None:
    """Fill in train and compress from ``folder``; the corpus is prepared first if need be.

    Arguments are those of `save`.

    Raises:
        InputError: a model or card is missing or damaged; names the file.
    """
    prepare.run(config, run_dir)

    def trained(config: Config, run_dir: RunDir, work_dir: Path) -> dict[str, Any]:
        Trained.load(folder / f"{dense}.safetensors").save(work_dir / run_dir.dense.name)
        return _reported(folder, dense, "results")

    def compressed(config: Config, run_dir: RunDir, work_dir: Path, model: Model) -> dict[str, Any]:
        name = run_dir.weights(model.name).name
        Trained.load(folder / name).save(work_dir / name)
        return _reported(folder, model.name, "compress")

    train.run.adopt(config, run_dir, trained)
    for model in (each for each in models(config) if compress.run.of(each)):
        compress.run.adopt(config, run_dir, compressed, model)


def _reported(folder: Path, name: str, part: str) -> Any:
    """What a stage said of a model, out of its card."""
    path = folder / f"{name}.card.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))[part]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}: not a model card with {part!r} ({error}); make it again with "
            "`python -m pipeline.shipped save`"
        ) from error


def main() -> None:
    """Command line."""
    actions = {"save": save, "restore": restore}
    first = command_parser("pipeline.shipped", __doc__)
    first.add_argument("action", choices=actions, help="ACTION --help lists the settings")
    action = first.parse_args(sys.argv[1:2]).action
    del sys.argv[1]
    own = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    own.add_argument("--dense", default=DENSE)
    options, sys.argv[1:] = own.parse_known_args()
    given = parse(f"python -m pipeline.shipped {action}", __doc__ or "")
    config, run_dir = given.config, given.run_dir
    with reported_errors():
        actions[action](config, run_dir, FOLDER, options.dense)
    print(f"{action}: {FOLDER if action == 'save' else run_dir.root}")


if __name__ == "__main__":
    main()
