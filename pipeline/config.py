"""The one tree of settings, loaded from a TOML file and overridable from the command line."""

import difflib
import tomllib
from pathlib import Path
from typing import Annotated, Literal

import tyro
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

DENSE = "dense"
RESERVED_NAMES = (DENSE, "clean", "noisy", "oracle")


class ConfigError(ValueError):
    """A setting is unknown, of the wrong type or out of range."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


Positive = Annotated[int, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0.0, lt=1.0)]


class Data(_Section):
    """Where audio comes from."""

    source: Literal["embedded", "debian", "folders", "paired"] = "embedded"
    """embedded: shipped with the package; debian: larger corpus from Debian packages;
    folders: your clean and noise folders; paired: your clean/noisy pairs."""
    cache_dir: Path = Path("~/.cache/sparse-speech-enhancer")
    """Downloads are kept here (source = "debian")."""
    clean_dir: Path | None = None
    """Folder of clean speech (source = "folders" or "paired")."""
    noise_dir: Path | None = None
    """Folder of noise (source = "folders")."""
    noisy_dir: Path | None = None
    """Folder of noisy speech, file names as in clean_dir (source = "paired")."""

    @model_validator(mode="after")
    def _folders_given(self) -> "Data":
        needed = {"folders": ("clean_dir", "noise_dir"), "paired": ("clean_dir", "noisy_dir")}
        for name in needed.get(self.source, ()):
            if getattr(self, name) is None:
                raise ValueError(f'source = "{self.source}" needs data.{name}')
        return self


class Mixing(_Section):
    """Training mixtures made on the fly."""

    crop_s: Annotated[float, Field(ge=0.25, le=60.0)] = 3.0
    """Length of a training crop in seconds."""
    snr_low_db: float = -5.0
    """Lowest signal-to-noise ratio."""
    snr_high_db: float = 15.0
    """Highest signal-to-noise ratio."""


class Model(_Section):
    """Size of the network."""

    bands: Annotated[int, Field(ge=8, le=257)] = 128
    """Mel bands: width of input and output."""
    lstm_units: tuple[Positive, ...] = (256, 256)
    """Width of each recurrent layer."""
    dense_units: Positive = 128
    """Width of the ReLU layer."""
    # Left out of files and keys where empty: those of networks without pairs stay as they are.
    lstm_ranks: Annotated[
        tuple[Annotated[int, Field(ge=0)], ...], Field(exclude_if=lambda ranks: not ranks)
    ] = ()
    """Width of each recurrent layer's basis (low-rank pair), 0 for none; empty: none has one."""

    @property
    def ranks(self) -> tuple[int, ...]:
        """Width of every recurrent layer's basis, 0 for none."""
        return self.lstm_ranks or (0,) * len(self.lstm_units)

    @field_validator("lstm_ranks")
    @classmethod
    def _none_is_empty(cls, ranks: tuple[int, ...]) -> tuple[int, ...]:
        return ranks if any(ranks) else ()

    @model_validator(mode="after")
    def _ranks_fit(self) -> "Model":
        if self.lstm_ranks and len(self.lstm_ranks) != len(self.lstm_units):
            raise ValueError(
                f"lstm_ranks has {len(self.lstm_ranks)} entries for {len(self.lstm_units)} "
                "recurrent layers; give one a layer, 0 for none"
            )
        return self


class Train(_Section):
    """Dense floating-point training."""

    initial_weights: Path | None = None
    """Start from these weights (.safetensors) instead of a random initialization."""
    steps: Positive = 20_000
    """Optimizer steps."""
    batch_size: Positive = 32
    """Crops in a batch."""
    learning_rate: Annotated[float, Field(gt=0)] = 2e-3
    """Peak of the cosine schedule."""
    warmup_steps: Annotated[int, Field(ge=0)] = 200
    """Linear warm-up."""
    average_decay: Fraction = 0.999
    """Decay of the exponential weight average that is validated and kept."""
    spectral_weight: Annotated[float, Field(ge=0)] = 0.5
    """Weight of the compressed-band loss beside the signal-to-noise ratio."""
    validate_every: Positive = 500
    """Steps between validations (and checkpoints); the best weights are kept."""
    threads: Positive = 1
    """Cores used for arithmetic (mixing uses one more thread)."""


class Variant(_Section):
    """One compressed model."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
    """Name of the model and its files."""
    parent: str = DENSE
    """Model to start from: the dense network or an earlier variant, so that structures combine."""
    structure: Literal["weight", "block", "unit"] = "weight"
    """What is removed together: single weights, blocks, or units with all they are tied to."""
    block: tuple[Positive, Positive] = (8, 8)
    """Inputs and outputs of a block (structure = "block")."""
    sparsity: Fraction = 0.0
    """Share of the weights, blocks or units removed, those counted that the parent lacks."""
    method: Literal["gradual", "threshold", "offline"] = "gradual"
    """gradual: by magnitude, along a schedule; threshold: one threshold a matrix or layer,
    learned from the loss; offline: by magnitude from the parent's integers, without training."""
    regularizer: Literal["none", "group_lasso", "hoyer_square"] = "none"
    """Pull on the weights before they are cut, so that structure emerges."""
    regularizer_strength: Annotated[float, Field(gt=0, le=0.1)] = 5e-4
    """Share of its norm by which a typical group shrinks at a step."""
    rank: Positive | None = None
    """Rank of the low-rank pair that replaces what each recurrent layer multiplies by, before
    anything is removed; none: leave it."""
    clusters: Annotated[int, Field(ge=4, le=127)] | None = None
    """Distinct values a matrix may hold, zero among them; none: as many as int8 has."""
    steps: Positive | None = None
    """Optimizer steps; none: `compress.steps`."""
    learning_rate: Annotated[float, Field(gt=0)] | None = None
    """Peak of the cosine schedule; none: `compress.learning_rate`."""


class Compress(_Section):
    """Pruning and int8 training, learned together."""

    variants: tuple[Variant, ...] = (
        Variant(name="dense-int8"),
        Variant(name="weight80-int8", sparsity=0.80),
        Variant(name="weight95-int8", sparsity=0.95),
    )
    """Models to make from the dense one."""
    scheme: Literal["int8", "int16"] = "int8"
    """Integer scheme of activations and state (weights are always int8)."""
    steps: Positive = 2_000
    """Optimizer steps of each variant."""
    learning_rate: Annotated[float, Field(gt=0)] = 5e-4
    """Peak of the cosine schedule."""
    validate_every: Positive = 200
    """Steps between validations; the best weights after pruning has ended are kept."""
    prune_until: Annotated[float, Field(gt=0.0, le=1.0)] = 0.6
    """Share of the steps after which the final sparsity is reached."""
    prune_every: Positive = 20
    """Steps between mask updates."""
    distillation_weight: Annotated[float, Field(ge=0)] = 0.0
    """Weight of imitating the dense network's mask."""

    @model_validator(mode="after")
    def _names_are_distinct(self) -> "Compress":
        names = [variant.name for variant in self.variants]
        taken = {*RESERVED_NAMES, *(name for name in names if names.count(name) > 1)}
        for name in names:
            if name in taken:
                raise ValueError(f"variant name {name!r} is already taken; choose another")
        return self

    @model_validator(mode="after")
    def _parents_come_first(self) -> "Compress":
        known = [DENSE]
        for variant in self.variants:
            if variant.parent not in known:
                raise ValueError(
                    f"variant {variant.name!r}: parent {variant.parent!r} is none of the models "
                    f"before it ({', '.join(known)})"
                )
            if variant.method == "offline" and variant.parent == DENSE:
                raise ValueError(
                    f'variant {variant.name!r}: method "offline" prunes a trained integer model; '
                    "give one as its parent"
                )
            known.append(variant.name)
        return self


class Compile(_Section):
    """Vela."""

    accelerator: Literal["ethos-u55-32", "ethos-u55-64", "ethos-u55-128", "ethos-u55-256"] = (
        "ethos-u55-128"
    )
    """NPU configuration."""
    system: str = "Ethos_U55_High_End_Embedded"
    """Vela system configuration: clock and memory bandwidths."""
    memory_modes: tuple[str, ...] = ("Shared_Sram", "Sram_Only")
    """Shared_Sram: weights stay in flash; Sram_Only: weights in SRAM."""


class Evaluate(_Section):
    """Quality of every stage's model on the fixed test mixtures."""

    runner: Annotated[
        Literal["tflite", "tflm", "emulator"], tyro.conf.arg(aliases=["--runner"])
    ] = "tflite"
    """What executes the integer model."""
    peers: tuple[Literal["RNNoise", "GTCRN", "DTLN", "UL-UNAS", "DeepFilterNet3"], ...] = ()
    """Other enhancers to score on the same files (needs the `peers` extra)."""
    workers: Positive = 2
    """Processes that compute metrics."""


class Deployment(_Section):
    """An NPU and the memories around it."""

    accelerator: str = "ethos-u55-128"
    """NPU configuration, by Vela's name."""
    system: str = "Ethos_U55_High_End_Embedded"
    """Vela system configuration: clock and memory bandwidths."""


class Study(_Section):
    """Trade-off between quality, size and speed over all variants (`pipeline.sweep`)."""

    deployments: tuple[Deployment, ...] = (
        Deployment(),
        Deployment(accelerator="ethos-u55-32"),
        Deployment(accelerator="ethos-u55-64"),
        Deployment(accelerator="ethos-u55-256"),
        Deployment(system="Ethos_U55_Deep_Embedded"),
    )
    """Where every model is compiled for; headlines are about the first."""
    sram_bytes: Positive = 320 * 1024
    """SRAM for the arena and for weights copied at boot; what does not fit stays in flash."""
    headline: tuple[str, ...] = ()
    """Variants repeated, with the models they come from, for each of `seeds`."""
    seeds: tuple[int, ...] = ()
    """Seeds of the repetitions, `seed` excepted."""
    cpus: Positive | None = None
    """CPUs a local Ray may use; none: all. A cluster (RAY_ADDRESS) knows its own."""


class Config(_Section):
    """All settings of a run."""

    seed: int = 1
    """Seed of everything random."""
    data: Data = Data()
    mixing: Mixing = Mixing()
    model: Model = Model()
    train: Train = Train()
    compress: Compress = Compress()
    compile: Compile = Compile()
    evaluate: Evaluate = Evaluate()
    study: Study = Study()

    @model_validator(mode="after")
    def _study_is_possible(self) -> "Config":
        names = [variant.name for variant in self.compress.variants]
        for name in self.study.headline:
            if name not in names:
                raise ValueError(
                    f"study.headline: {name!r} is none of the variants ({', '.join(names)})"
                )
        if self.study.cpus is not None and self.study.cpus < self.train.threads:
            raise ValueError(
                f"study.cpus = {self.study.cpus}: a training takes train.threads = "
                f"{self.train.threads}"
            )
        return self


def load(path: Path) -> Config:
    """Read and check a TOML file.

    Raises:
        ConfigError: names the file, the key, what was expected and the closest valid name.
    """
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as TOML: {error}") from error
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        raise ConfigError("\n".join(f"{path}: {line}" for line in _explain(error))) from error


def _explain(error: ValidationError) -> list[str]:
    lines = []
    for problem in error.errors():
        key = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            close = difflib.get_close_matches(key, _keys(Config), n=1, cutoff=0.0)
            lines.append(f"unknown setting {key!r}; did you mean {close[0]!r}?")
        else:
            lines.append(f"{key} = {problem['input']!r}: {problem['msg']}")
    return lines


def _keys(section: type[BaseModel], prefix: str = "") -> list[str]:
    names: list[str] = []
    for name, field in section.model_fields.items():
        names.append(prefix + name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            names += _keys(field.annotation, f"{prefix}{name}.")
    return names
