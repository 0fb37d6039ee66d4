"""What the command lines have in common: the stages' settings, and the style of all."""

import argparse
import json
import signal
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import tyro

from pipeline.artefacts import Card, RunDir, Stage
from pipeline.config import Config, load
from pipeline.errors import PipelineError
from pipeline.ethosu.errors import EthosUError

DEFAULT_CONFIG = Path("configs/demo.toml")
DEBUG = "--debug"
DEBUG_HELP = "show where an error arose"


@dataclass(frozen=True)
class Options:
    """What a command line about a run says.

    Attributes:
        config: the settings.
        run_dir: holds the results.
        force: whether to make again what is finished.
        as_json: whether to print JSON.
    """

    config: Config
    run_dir: RunDir
    force: bool
    as_json: bool


def stage_main(*stages: Stage) -> None:
    """Run one stage, all kinds of its items, from the command line and print where they are."""
    name = stages[-1].name
    options = parse(f"python -m pipeline.{name}", stages[-1].__doc__ or "", prints_json=True)
    with reported_errors():
        cards = [c for each in stages for c in each(options.config, options.run_dir, options.force)]
    if options.as_json:
        print(cards_as_json(cards))
    else:
        seconds = sum(card.wall_s for card in cards)
        print(f"{name}: {options.run_dir.path(name)} ({seconds:.1f} s)")


def cards_as_json(cards: Iterable[Card]) -> str:
    """Cards as a JSON list, as they lie in the run directory."""
    return json.dumps([asdict(card) for card in cards], indent=1)


def command_parser(program: str, description: str | None) -> argparse.ArgumentParser:
    """Of a command with options of its own: its module's docstring, which ends with examples."""
    made = argparse.ArgumentParser(
        prog=f"python -m {program}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument(DEBUG, action="store_true", help=DEBUG_HELP)
    return made


def at_least(lowest: int) -> Callable[[str], int]:
    """For `type` of an option that is a count or a seed."""

    def number(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = lowest - 1
        if value < lowest:
            raise argparse.ArgumentTypeError(f"{text}: expected a whole number, at least {lowest}")
        return value

    return number


def new_file(text: str) -> Path:
    """For `type` of an option that names what is written: known to be possible before the work."""
    path = Path(text)
    if path.is_dir():
        raise argparse.ArgumentTypeError(f"{text}: expected a file, this is a folder")
    if not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"{text}: there is no folder {path.parent}; make it first")
    return path


def parse(program: str, description: str, *, prints_json: bool = False) -> Options:
    """Read what every command about a run takes, and one option per setting."""
    flags = ("--force", DEBUG, *(["--json"] if prints_json else []))
    common = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    common.add_argument("--config", type=Path, default=DEFAULT_CONFIG)
    common.add_argument("--run-dir", type=Path)
    for flag in flags:
        common.add_argument(flag, action="store_true")
    known, rest = common.parse_known_args()
    with reported_errors():
        default = load(known.config)
    config = tyro.cli(
        Config,
        prog=program,
        description=(
            f"{description}\n\n{program} --config configs/toy.toml\n\n{program} --config "
            "configs/toy.toml --run-dir runs/mine --train.steps 20\n\n"
            f"--config PATH (default {DEFAULT_CONFIG}) loads the settings below; --run-dir PATH "
            "(default runs/<config name>) holds the results; --force makes again what is "
            f"finished; {'--json prints cards as JSON; ' if prints_json else ''}{DEBUG} shows "
            "where an error arose."
        ),
        default=default,
        args=rest,
        # Which network it is stands in the file alone.
        config=(tyro.conf.AvoidSubcommands,),
    )
    root = known.run_dir or Path("runs") / known.config.stem
    return Options(config, RunDir(root), known.force, prints_json and known.json)


class reported_errors:
    """Turn a foreseen error into one line and exit code 2, an interrupt into silence.

    Foreseen are the package's own errors, and those of the operating system that name a file.
    Whatever else goes wrong is a fault of the program and keeps its traceback; ``--debug`` on the
    command line keeps them all.
    """

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, KeyboardInterrupt):
            raise SystemExit(128 + signal.SIGINT) from None
        names_file = isinstance(error, OSError) and error.filename is not None
        if DEBUG not in sys.argv and (isinstance(error, PipelineError | EthosUError) or names_file):
            print(f"error: {error}", file=sys.stderr)
            raise SystemExit(2) from error
