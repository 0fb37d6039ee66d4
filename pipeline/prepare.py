"""Prepare: decode, check and pack the corpus; render augmentation; measure the front end."""

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save

from pipeline.artefacts import RunDir, stage, write_atomically
from pipeline.cli import stage_main
from pipeline.config import Config
from pipeline.corpora.mixing import Mixer
from pipeline.corpora.paired import PairedMixer
from pipeline.corpora.prepared import Corpus, prepare
from pipeline.corpora.sources import PUBLISHED, clips_of
from pipeline.dsp import RATE_HZ, FrontEnd, measure_front_end
from pipeline.progress import Reporter

CORPUS = "corpus"
FRONT_END = "front_end.safetensors"
FRONT_END_BATCHES = 8
BATCH_SIZE = 32
LINES_SHOWN = 20


@stage("prepare", needs=(), sections=("data", "mixing", "model"))
def run(config: Config, run_dir: RunDir, work_dir: Path) -> dict[str, Any]:
    """Decode, check and pack the corpus, render augmentation and measure the front end."""
    folder = work_dir / CORPUS
    shutil.rmtree(folder, ignore_errors=True)
    data = config.data
    with Reporter() as report:
        clips = clips_of(
            data.source,
            cache_dir=data.cache_dir,
            clean_dir=data.clean_dir,
            noise_dir=data.noise_dir,
            noisy_dir=data.noisy_dir,
            progress=lambda done, total: report("packages", done, total),
        )
        summaries = prepare(
            clips,
            folder,
            seed=config.seed,
            published=data.source if data.source in PUBLISHED else None,
            progress=report,
        )
        _show_skipped([line for s in summaries for line in s.recorded.skipped], report)
    front_end = _measure_front_end(config, training_mixer(config, Corpus(folder)))
    write_atomically(
        work_dir / FRONT_END,
        save(
            {
                "mean": front_end.mean,
                "deviation": front_end.deviation,
                "conditioned": np.array(front_end.conditioned),
            }
        ),
    )
    return {
        f"{s.split}_{s.role}": {
            "recorded_min": round(s.recorded.minutes, 1),
            "rendered_min": round(s.rendered.minutes, 1),
            "skipped": list(s.recorded.skipped),
        }
        for s in summaries
    }


def prepared_corpus(run_dir: RunDir) -> Corpus:
    """The corpus a run has prepared."""
    return Corpus(run_dir.path("prepare") / CORPUS)


def prepared_front_end(run_dir: RunDir) -> FrontEnd:
    """The front end measured on it."""
    stored = load_file(run_dir.path("prepare") / FRONT_END)
    conditioned = bool(stored.get("conditioned", False))
    return FrontEnd(stored["mean"], stored["deviation"], conditioned)


def training_mixer(config: Config, corpus: Corpus) -> Mixer | PairedMixer:
    """The mixer of training crops that the settings describe."""
    return corpus.mixer(
        crop_samples=round(config.mixing.crop_s * RATE_HZ),
        seed=config.seed,
        snr_db=(config.mixing.snr_low_db, config.mixing.snr_high_db),
    )


def _show_skipped(skipped: Iterable[str], report: Reporter) -> None:
    """Name the files that were left out (both sides of a bad pair have the same line)."""
    lines = list(dict.fromkeys(skipped))
    for line in lines[:LINES_SHOWN]:
        report.note(f"left out: {line}")
    if len(lines) > LINES_SHOWN:
        report.note(f"left out: {len(lines) - LINES_SHOWN} more files, listed in the card")


def _measure_front_end(config: Config, mixer: Mixer | PairedMixer) -> FrontEnd:
    mixtures = [mixer.batch(step, BATCH_SIZE)[0] for step in range(FRONT_END_BATCHES)]
    return measure_front_end(np.concatenate(mixtures), config.model.bands)


if __name__ == "__main__":
    stage_main(run)
