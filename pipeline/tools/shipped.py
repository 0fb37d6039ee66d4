"""Shipped: trained models as small files that stand in for the training stages.

``python -m pipeline.shipped save`` copies a run's models and what its training stages reported to
``tflite_models/``; ``python -m pipeline.shipped restore`` makes a run directory from them in which
train and compress count as done, so that `pipeline.run` goes on with conversion, compilation and
evaluation.
"""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

from pipeline.artefacts import RunDir, write_json
from pipeline.cli import parse, reported_errors
from pipeline.config import Config
from pipeline.deployed import Deployed
from pipeline.errors import InputError
from pipeline.networks.trained import Trained
from pipeline.stages import compress, prepare, train
from pipeline.stages.convert import model_path

FOLDER = Path("tflite_models")
STAGES = ("train", "compress", "convert", "compile")


def save(config: Config, run_dir: RunDir, folder: Path) -> None:
    """Copy every network, trained and converted, each with a card, to ``folder``."""
    folder.mkdir(exist_ok=True)
    cards = {name: run_dir.card(name) for name in STAGES}
    shutil.copy(run_dir.path("train") / train.WEIGHTS, folder / train.WEIGHTS)
    write_json(
        folder / "dense.card.json",
        {"seed": config.seed, "config": cards["train"].config, "versions": cards["train"].versions}
        | {"results": cards["train"].results},
    )
    for variant in config.compress.variants:
        converted = Deployed.load(model_path(run_dir, variant.name))
        shutil.copy(compress.weights_path(run_dir, variant.name), folder)
        Deployed.write(
            folder / converted.tflite.name,
            converted.tflite.read_bytes(),
            converted.card,
            {
                "seed": config.seed,
                "variant": variant.model_dump(),
                "config": cards["compress"].config,
                "versions": cards["compress"].versions,
            }
            | {name: cards[name].results[variant.name] for name in STAGES[1:]},
        )


def restore(config: Config, run_dir: RunDir, folder: Path) -> None:
    """Fill in train and compress from ``folder``; the corpus is prepared first if need be.

    Raises:
        InputError: a model or card is missing or damaged; names the file.
    """
    prepare.run(config, run_dir)

    def trained(config: Config, run_dir: RunDir, work_dir: Path) -> dict[str, Any]:
        Trained.load(folder / train.WEIGHTS).save(work_dir / train.WEIGHTS)
        return _card(folder, "dense")["results"]

    def compressed(config: Config, run_dir: RunDir, work_dir: Path) -> dict[str, Any]:
        results = {}
        for variant in config.compress.variants:
            name = f"{variant.name}.safetensors"
            target = work_dir / variant.name
            target.mkdir()
            Trained.load(folder / name).save(target / name)
            results[variant.name] = _card(folder, variant.name)["compress"]
        return results

    train.run.adopt(config, run_dir, trained)
    compress.run.adopt(config, run_dir, compressed)


def _card(folder: Path, name: str) -> dict[str, Any]:
    path = folder / f"{name}.card.json"
    try:
        card: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not a readable model card ({error})") from error
    return card


def main() -> None:
    """Command line."""
    actions = {"save": save, "restore": restore}
    if len(sys.argv) < 2 or sys.argv[1] not in actions:
        raise SystemExit(f"usage: python -m pipeline.shipped {{{','.join(actions)}}} [settings]")
    action = sys.argv.pop(1)
    config, run_dir, _ = parse(f"python -m pipeline.shipped {action}", __doc__ or "")
    with reported_errors():
        actions[action](config, run_dir, FOLDER)
    print(f"{action}: {FOLDER if action == 'save' else run_dir.root}")


if __name__ == "__main__":
    main()
