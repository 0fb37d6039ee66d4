"""Prepare: decode, check and pack the corpus; render augmentation; measure the front end."""

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from pipeline.artefacts import RunDir, stage, write_atomically
from pipeline.cli import stage_main
from pipeline.config import Config, Data
from pipeline.corpora.audio import AudioFileError
from pipeline.corpora.folders import training_material
from pipeline.corpora.material import Material
from pipeline.corpora.mixing import Mixer
from pipeline.corpora.paired import PairedMixer
from pipeline.corpora.prepared import Corpus, PartSummary, Preparation, prepare
from pipeline.corpora.sources import material_of
from pipeline.corpora.store import NOISE, SPEECH
from pipeline.corpora.synthetic.clips import synthetic_clips
from pipeline.dsp import FrontEnd, measure_front_end
from pipeline.inputs import training_mixer
from pipeline.progress import Reporter
from pipeline.reporting.table import NO_VALUE, Table

FRONT_END_BATCHES = 8
BATCH_SIZE = 32
LINES_SHOWN = 20


@stage(
    "prepare",
    needs=(),
    settings=("seed", "data", "mixing", "model"),
    reads=(
        "data.clean_dir",
        "data.noise_dir",
        "data.noisy_dir",
        "data.extra_speech_dirs",
        "data.extra_noise_dirs",
    ),
)
def run(config: Config, run_dir: RunDir, work_dir: Path) -> dict[str, Any]:
    """Decode, check and pack the corpus, render augmentation and measure the front end."""
    folder = work_dir / run_dir.corpus.name
    shutil.rmtree(folder, ignore_errors=True)
    data = config.data
    with Reporter() as report:
        material = material_of(
            data.source,
            more_packages=data.more_packages,
            progress=lambda done, total: report("packages", done, total),
            cache_dir=data.cache_dir,
            clean_dir=data.clean_dir,
            noise_dir=data.noise_dir,
            noisy_dir=data.noisy_dir,
        )
        material = _with_additions(material, data, report)
        made = prepare(material, folder, seed=config.seed, progress=report)
        for line in (*_table(made.parts).text(), *made.notes, *_left_out_lines(made.left_out)):
            report.note(line)
    front_end = _measure_front_end(config, training_mixer(config, Corpus(folder)))
    write_atomically(
        work_dir / run_dir.front_end.name,
        save(
            {
                "mean": front_end.mean,
                "deviation": front_end.deviation,
                "conditioned": np.array(front_end.conditioned),
            }
        ),
    )
    return _results(made)


def _with_additions(material: Material, data: Data, report: Reporter) -> Material:
    """What else the settings name to train with: synthetic voices, further folders."""
    if data.synthetic_minutes:
        clips = synthetic_clips(
            data.cache_dir.expanduser(),
            data.synthetic_minutes,
            progress=lambda done, total: report("minutes of synthetic speech", done, total),
        )
        material = material.with_training(clips, ())
    for role, folders in ((SPEECH, data.extra_speech_dirs), (NOISE, data.extra_noise_dirs)):
        for folder in folders:
            material = material.with_training(*training_material(folder.expanduser(), role))
    return material


def _results(made: Preparation) -> dict[str, Any]:
    return {
        "parts": [asdict(part) for part in made.parts],
        "notes": list(made.notes),
        "left_out": [str(error) for error in made.left_out],
    }


def _table(parts: Iterable[PartSummary]) -> Table:
    """What each part holds."""
    rows = (
        (
            part.part,
            part.role,
            NO_VALUE if part.speakers is None else f"{part.speakers}",
            f"{part.files}",
            f"{part.recorded_min}",
        )
        for part in parts
    )
    return Table.of("", ("part", "role", "speakers", "files", "minutes"), rows, texts=2)


def _left_out_lines(left_out: Sequence[AudioFileError]) -> list[str]:
    """Name the files that were left out, and count them; if they are many, one of each reason."""
    if not left_out:
        return []
    if len(left_out) <= LINES_SHOWN:
        return [
            *(f"left out: {error}" for error in left_out),
            f"left out: {len(left_out)} files in all",
        ]
    alike: dict[str, list[AudioFileError]] = {}
    for error in left_out:
        alike.setdefault(error.reason, []).append(error)
    lines = [
        f"left out: {errors[0]}" + (f" ({len(errors)} such files)" if len(errors) > 1 else "")
        for errors in alike.values()
    ]
    return [
        *lines[:LINES_SHOWN],
        f"left out: {len(left_out)} files in all; the card of this stage names each",
    ]


def _measure_front_end(config: Config, mixer: Mixer | PairedMixer) -> FrontEnd:
    mixtures = [mixer.batch(step, BATCH_SIZE)[0] for step in range(FRONT_END_BATCHES)]
    return measure_front_end(np.concatenate(mixtures), config.network.bands)


if __name__ == "__main__":
    stage_main(run)
