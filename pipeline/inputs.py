"""What stages read of a prepared run: its corpus, mixtures to train on, the front end."""

from safetensors import SafetensorError
from safetensors.numpy import load_file

from pipeline.artefacts import ArtefactError, RunDir
from pipeline.config import Config
from pipeline.corpora.mixing import Mixer
from pipeline.corpora.paired import PairedMixer
from pipeline.corpora.prepared import Corpus
from pipeline.dsp import RATE_HZ, FrontEnd


def prepared_corpus(run_dir: RunDir) -> Corpus:
    """The corpus a run has prepared."""
    return Corpus(run_dir.corpus)


def prepared_front_end(run_dir: RunDir) -> FrontEnd:
    """The front end measured on it.

    Raises:
        ArtefactError: it is missing or damaged.
    """
    path = run_dir.front_end
    try:
        stored = load_file(path)
        conditioned = bool(stored.get("conditioned", False))
        return FrontEnd(stored["mean"], stored["deviation"], conditioned)
    except (OSError, SafetensorError, ValueError, KeyError) as error:
        raise ArtefactError(
            f"{path}: not a front end ({error}); run `python -m pipeline.prepare --run-dir "
            f"{run_dir.root} --force`"
        ) from error


def training_mixer(config: Config, corpus: Corpus) -> Mixer | PairedMixer:
    """The mixer of training crops that the settings describe."""
    return corpus.mixer(
        crop_samples=round(config.mixing.crop_s * RATE_HZ),
        seed=config.seed,
        snr_db=(config.mixing.snr_low_db, config.mixing.snr_high_db),
    )
