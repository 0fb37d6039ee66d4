"""Command line shared by every stage."""

import argparse
import sys
from pathlib import Path

import tyro

from pipeline.artefacts import RunDir, Stage
from pipeline.config import Config, load
from pipeline.errors import PipelineError
from pipeline.ethosu.errors import EthosUError

DEFAULT_CONFIG = Path("configs/demo.toml")
DEBUG = "--debug"
DEBUG_HELP = "show where an error arose"


def stage_main(*stages: Stage) -> None:
    """Run one stage, all kinds of its items, from the command line and print where they are."""
    name = stages[-1].name
    config, run_dir, force = parse(f"python -m pipeline.{name}", stages[-1].__doc__ or "")
    with reported_errors():
        cards = [card for stage in stages for card in stage(config, run_dir, force)]
    print(f"{name}: {run_dir.path(name)} ({sum(card.wall_s for card in cards):.1f} s)")


def parse(program: str, description: str) -> tuple[Config, RunDir, bool]:
    """Read ``--config``, ``--run-dir``, ``--force``, ``--debug`` and one option per setting."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--config", type=Path, default=DEFAULT_CONFIG)
    common.add_argument("--run-dir", type=Path)
    common.add_argument("--force", action="store_true")
    common.add_argument(DEBUG, action="store_true")
    known, rest = common.parse_known_args()
    with reported_errors():
        default = load(known.config)
    config = tyro.cli(
        Config,
        prog=program,
        description=(
            f"{description}\n\n--config PATH (default {DEFAULT_CONFIG}) loads the settings below; "
            "--run-dir PATH (default runs/<config name>) holds the results; --force runs the "
            "stage again even if its inputs have not changed; --debug shows where an error arose."
        ),
        default=default,
        args=rest,
        # Which network it is stands in the file alone.
        config=(tyro.conf.AvoidSubcommands,),
    )
    root = known.run_dir or Path("runs") / known.config.stem
    return config, RunDir(root), known.force


class reported_errors:
    """Turn a foreseen error into one line and exit code 2 instead of a traceback.

    Foreseen are the package's own errors, and those of the operating system that name a file.
    Whatever else goes wrong is a fault of the program and keeps its traceback; ``--debug`` on the
    command line keeps them all.
    """

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        names_file = isinstance(error, OSError) and error.filename is not None
        if DEBUG not in sys.argv and (isinstance(error, PipelineError | EthosUError) or names_file):
            print(f"error: {error}", file=sys.stderr)
            raise SystemExit(2) from error
