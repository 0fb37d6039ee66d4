"""Pretrain: a dense network on a GPU, as a start for `train`.

``python -m pipeline.pretrain --config FILE --run-dir RUN --minutes 9 --output NET.safetensors``
trains the configured network on the prepared corpus of RUN, for as long as is said, with JAX (the
`gpu` extra) on whatever JAX finds: a GPU, else the processor. It begins where `train` would, at
`train.initial_weights` or at random weights, and uses `train.batch_size`, `train.learning_rate`,
`train.spectral_weight` and the crops of `mixing`.

With ``--teacher DTLN`` the first half of the time is imitation of that network's output, and only
the second half sees clean signals.

To go on from there: `train.initial_weights = "NET.safetensors"`, and `train.steps = 0` to take the
network as it is.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pipeline.artefacts import RunDir, write_atomically
from pipeline.cli import parse, reported_errors
from pipeline.config import Config
from pipeline.corpora.prepared import Corpus, open_rooms, open_split
from pipeline.dsp import RATE_HZ
from pipeline.errors import InputError
from pipeline.stages.train import starting_network

TEACHERS = ("DTLN",)


def run(
    config: Config,
    run_dir: RunDir,
    minutes: float,
    output: Path,
    command: str,
    teacher: str | None = None,
) -> Iterator[dict[str, float]]:
    """Train; with every record, write the network so far and its card ``NAME.card.json`` beside it.

    Raises:
        InputError: JAX is not installed, the corpus holds pairs, or the teacher is not to be had.
        PinnedError: likewise.
    """
    try:
        import jax

        from pipeline.pretraining import loop
        from pipeline.pretraining.crops import Bank, CropMaker
        from pipeline.pretraining.teacher import DtlnTeacher
    except ImportError as error:
        raise InputError(
            f"pretraining runs on JAX ({error}): install it with `pip install -e .[gpu]`"
        ) from error
    if config.data.source == "paired":
        raise InputError('data.source = "paired": pretraining mixes its own crops; give another')
    teaching = DtlnTeacher.load(config.data.cache_dir) if teacher == "DTLN" else None
    start = starting_network(config, run_dir)
    speech, noise = open_split(run_dir.corpus, "train")
    material = loop.Material(
        Bank.of_voices(speech, config.seed),
        Bank.of_noise(noise, config.seed),
        jax.numpy.asarray(open_rooms(run_dir.corpus)),
    )
    maker = CropMaker(
        round(config.mixing.crop_s * RATE_HZ),
        snr_db=(config.mixing.snr_low_db, config.mixing.snr_high_db),
    )
    settings = loop.Settings(
        minutes=minutes,
        batch_size=config.train.batch_size,
        learning_rate=config.train.learning_rate,
        average_decay=config.train.average_decay,
        spectral_weight=config.train.spectral_weight,
        seed=config.seed,
    )
    results: dict[str, Any] = {"device": jax.devices()[0].device_kind, "history": []}
    card = {
        "command": command,
        "seed": config.seed,
        "teacher": teacher,
        "config": config.model_dump(mode="json", include={"seed", "mixing", "model", "train"}),
        "versions": {name: version(name) for name in ("jax", "jaxlib", "numpy", "optax")},
        "results": results,
    }
    mixtures = list(Corpus(run_dir.corpus).mixtures("valid"))
    records = loop.pretrain(start, material, maker, settings, mixtures, teaching)
    for trained, record in records:
        results["history"].append(record)
        trained.save(output)
        write_atomically(output.with_suffix(".card.json"), json.dumps(card, indent=1) + "\n")
        yield record


def main() -> None:
    """Command line."""
    command = f"python -m pipeline.pretrain {' '.join(sys.argv[1:])}"
    own = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    own.add_argument("--minutes", type=float, default=60.0)
    own.add_argument("--output", type=Path, default=Path("pretrained.safetensors"))
    own.add_argument("--teacher", choices=TEACHERS)
    options, sys.argv[1:] = own.parse_known_args()
    given = parse("python -m pipeline.pretrain", __doc__ or "")
    with reported_errors():
        if not 0 < options.minutes <= 10_000:
            raise InputError(f"--minutes {options.minutes:g}: give a time above 0")
        if options.output.suffix != ".safetensors" or not options.output.parent.is_dir():
            raise InputError(
                f"--output {options.output}: give a .safetensors file in an existing folder"
            )
        records = run(
            given.config, given.run_dir, options.minutes, options.output, command, options.teacher
        )
        for record in records:
            print(
                f"{record['seconds']:.0f} s, step {record['step']}: loss {record['loss']:.2f}, "
                f"SI-SDRi {record['score']:.2f} dB",
                flush=True,
            )
    print(f"pretrain: {options.output}")


if __name__ == "__main__":
    main()
