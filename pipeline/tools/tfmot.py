"""Takes any Keras model through pruning, clustering and int8 training to a TFLite file.

python -m pipeline.tfmot --config keyword_spotter.toml --out runs/keyword-spotter
PYTHONPATH=docs/examples python -m pipeline.tfmot --config docs/examples/keyword_spotter.toml \\
    --out runs/keyword-spotter --json

The config names a function that returns the model and its data, and lists the steps
(docs/your-model.md). Zeros and distinct values are shown after every step, since they are easily
lost on the way. The result is a .tflite file and a card; `python -m pipeline.check` proves and
prices it on the NPU.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import tomllib
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from rich.console import Console
from rich.table import Table

from pipeline.artefacts import tool_versions
from pipeline.cli import DEBUG, DEBUG_HELP, reported_errors
from pipeline.deployed import Card, Deployed, card_path
from pipeline.producers.tfmot import ProducerError, Step, StepReport, load_problem, produce


class Project(BaseModel):
    """What one configuration file says."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
    problem: str
    steps: tuple[Step, ...]
    seed: int = 1

    @classmethod
    def load(cls, path: Path) -> Project:
        """Read and check a TOML file.

        Raises:
            ProducerError: names the file, the setting and what was expected.
        """
        try:
            return cls.model_validate(tomllib.loads(path.read_text(encoding="utf-8-sig")))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise ProducerError(f"{path}: cannot be read as TOML: {error}") from error
        except ValidationError as error:
            problem = error.errors()[0]
            setting = ".".join(str(part) for part in problem["loc"])
            raise ProducerError(f"{path}: {setting}: {problem['msg']}") from error


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    options = _parse(arguments)
    console = Console(stderr=True)
    with reported_errors():
        project = Project.load(options.config)
        problem = load_problem(project.problem, project.seed)
        total = len(project.steps)

        def announce(report: StepReport) -> None:
            console.print(f"{report.step}: {_scores(report)}, {100 * report.zeros:.1f} % zeros")

        console.print(f"{project.name}: {total} steps", highlight=False)
        produced = produce(problem, project.steps, project.seed, announce)
        options.out.mkdir(parents=True, exist_ok=True)
        path = options.out / f"{project.name}.tflite"
        more = _card(project, produced.tflite, produced.reports)
        card = Card(producer="tfmot", proof=produced.proof)
        Deployed.write(path, produced.tflite, card, more)
    if options.json:
        print(card_path(path).read_text(encoding="utf-8"), end="")
    else:
        Console().print(_table(produced.reports))
        print(f"{path}: {len(produced.tflite):,} bytes")


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.tfmot",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(DEBUG, action="store_true", help=DEBUG_HELP)
    parser.add_argument("--config", type=Path, required=True, help="TOML file")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--json", action="store_true", help="print the card")
    return parser.parse_args(arguments)


def _card(project: Project, tflite: bytes, reports: tuple[StepReport, ...]) -> dict[str, Any]:
    return {
        "name": project.name,
        "config": project.model_dump(mode="json"),
        "sha256": hashlib.sha256(tflite).hexdigest(),
        "tflite_bytes": len(tflite),
        "steps": [
            dataclasses.asdict(report) | {"zeros": round(report.zeros, 6)} for report in reports
        ],
        "versions": tool_versions(),
    }


def _scores(report: StepReport) -> str:
    return ", ".join(f"{name} {value:.4f}" for name, value in report.scores.items())


def _table(reports: tuple[StepReport, ...]) -> Table:
    """One row a step: scores, zeros over all weights, most distinct values in a tensor."""
    table = Table()
    table.add_column("step")
    for heading in (*reports[0].scores, "zeros", "most distinct\nvalues in a tensor"):
        table.add_column(heading, justify="right")
    for report in reports:
        table.add_row(
            report.step,
            *(f"{value:.4f}" for value in report.scores.values()),
            f"{100 * report.zeros:.1f} %",
            str(max(weight.distinct for weight in report.weights)),
        )
    return table


if __name__ == "__main__":
    main()
