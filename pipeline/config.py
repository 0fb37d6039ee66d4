"""The one tree of settings, loaded from a TOML file and overridable from the command line."""

import difflib
import tomllib
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import tyro
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from pipeline.boards import FIRMWARE, PLUGIN
from pipeline.compression.methods import AnyMethod
from pipeline.compression.methods.prune import Prune
from pipeline.errors import InputError
from pipeline.ethosu.memory_system import memory_system
from pipeline.ethosu.npu import NpuName
from pipeline.ethosu.vela_config import DEFAULT_SYSTEM, VelaConfig
from pipeline.networks import DEFAULT_NETWORK, Network
from pipeline.networks.problem import ToolkitProblem
from pipeline.networks.settings import NetworkSettings
from pipeline.producers.settings import Step, check_order

DENSE = "dense"
# What has nothing to do for a model that does not enhance speech.
SPEECH_STAGES = ("prepare", "train", "evaluate")
RESERVED_NAMES = (DENSE, "clean", "noisy", "oracle")
# Memory modes that a study compares: weights in flash, and in SRAM.
PLACEMENT_MODES = ("Shared_Sram", "Sram_Only")


class ConfigError(InputError):
    """A setting is unknown, of the wrong type or out of range."""


class _Section(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False
    )


def _distinct(values: tuple[Any, ...]) -> tuple[Any, ...]:
    once = set()
    for value in values:
        if value in once:
            raise ValueError(f"{value!r} is given twice")
        once.add(value)
    return values


Positive = Annotated[int, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0.0, lt=1.0)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Distinct = AfterValidator(_distinct)


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
    """Folder of noisy speech, files named as corpora do (source = "paired"); may be clean_dir."""
    # Left out of files and keys where unset: those from before there was such a thing stay valid.
    synthetic_minutes: Annotated[
        float, Field(ge=0.0, le=600.0, exclude_if=lambda minutes: not minutes)
    ] = 0.0
    """Speech of each of 54 synthetic voices to train with as well, in minutes; rendered once into
    cache_dir (needs espeak-ng, npm and the `peers` extra). 0: none."""
    more_packages: Annotated[bool, Field(exclude_if=lambda wanted: not wanted)] = False
    """More noise and voices to train with, out of packages of games; 5 GB to download
    (source = "debian")."""
    extra_speech_dirs: Annotated[tuple[Path, ...], Field(exclude_if=lambda dirs: not dirs)] = ()
    """Folders of clean speech to train with as well."""
    extra_noise_dirs: Annotated[tuple[Path, ...], Field(exclude_if=lambda dirs: not dirs)] = ()
    """Folders of noise to train with as well."""

    @model_validator(mode="after")
    def _folders_fit_the_source(self) -> "Data":
        used = {"folders": ("clean_dir", "noise_dir"), "paired": ("clean_dir", "noisy_dir")}
        needed = used.get(self.source, ())
        for name in ("clean_dir", "noise_dir", "noisy_dir"):
            given = getattr(self, name) is not None
            if name in needed and not given:
                raise ValueError(f'source = "{self.source}" needs data.{name}')
            if given and name not in needed:
                users = " or ".join(f'"{source}"' for source in used if name in used[source])
                raise ValueError(
                    f'source = "{self.source}" does not use data.{name}; leave it out, or give '
                    f"source = {users}"
                )
        return self

    @model_validator(mode="after")
    def _packages_come_with_their_source(self) -> "Data":
        if self.more_packages and self.source != "debian":
            raise ValueError(
                f'source = "{self.source}" does not use data.more_packages; leave it out, or give '
                'source = "debian"'
            )
        return self

    @model_validator(mode="after")
    def _pairs_are_complete(self) -> "Data":
        for name in ("synthetic_minutes", "extra_speech_dirs", "extra_noise_dirs"):
            if self.source == "paired" and getattr(self, name):
                raise ValueError(
                    f'source = "paired" mixes nothing, so it does not use data.{name}; leave it out'
                )
        return self


class Mixing(_Section):
    """Training mixtures made on the fly."""

    crop_s: Annotated[float, Field(ge=0.25, le=60.0)] = 3.0
    """Length of a training crop in seconds."""
    snr_low_db: float = -5.0
    """Lowest signal-to-noise ratio."""
    snr_high_db: float = 15.0
    """Highest signal-to-noise ratio."""

    @model_validator(mode="after")
    def _low_is_lower(self) -> "Mixing":
        if self.snr_low_db > self.snr_high_db:
            raise ValueError(
                f"snr_low_db = {self.snr_low_db:g} is above snr_high_db = {self.snr_high_db:g}"
            )
        return self


class Train(_Section):
    """Dense floating-point training."""

    initial_weights: Path | None = None
    """Start from these weights (.safetensors) instead of a random initialization."""
    steps: Annotated[int, Field(ge=0)] = 20_000
    """Optimizer steps; 0: the initial weights as they are."""
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
    # Left out of files and keys where unset, like those of Data.
    measure_front_end: Annotated[bool, Field(exclude_if=lambda wanted: not wanted)] = False
    """Measure the front end on the corpus even where `initial_weights` bring one along."""
    bfloat16: Annotated[bool, Field(exclude_if=lambda wanted: not wanted)] = False
    """Multiply in bfloat16: faster on processors that can, to two or three digits. Only the dense
    network is trained so; integers need float32."""

    @model_validator(mode="after")
    def _steps_are_enough(self) -> "Train":
        if self.steps == 0:
            if self.initial_weights is None:
                raise ValueError("steps = 0 trains nothing; give initial_weights, or steps")
            return self
        for name in ("warmup_steps", "validate_every"):
            if getattr(self, name) > self.steps:
                raise ValueError(
                    f"{name} = {getattr(self, name)} is more than steps = {self.steps}; lower it"
                )
        return self


class Variant(_Section):
    """One compressed model."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
    """Name of the model and its files."""
    parent: str = DENSE
    """Model to start from: the dense network or an earlier variant, so that structures combine."""
    methods: tuple[AnyMethod, ...] = ()
    """What is done to it, in this order; none: it is trained in integers and nothing else."""
    steps: Positive | None = None
    """Optimizer steps; none: `compress.steps`."""
    learning_rate: Annotated[float, Field(gt=0)] | None = None
    """Peak of the cosine schedule; none: `compress.learning_rate`."""
    toolkit: Annotated[tuple[Step, ...], Field(exclude_if=lambda steps: not steps)] = ()
    """Instead of methods: what the TensorFlow Model Optimization toolkit does to the dense network,
    in this order. An epoch of our networks is `compress.validate_every` steps."""

    @property
    def trains(self) -> bool:
        """Whether there is a training by this package."""
        return not self.toolkit and all(method.trains for method in self.methods)

    @model_validator(mode="after")
    def _toolkit_stands_alone(self) -> "Variant":
        if self.toolkit:
            check_order(self.toolkit)
            fields = ("parent", "methods", "steps", "learning_rate")
            for name in fields:
                if getattr(self, name) != type(self).model_fields[name].default:
                    raise ValueError(
                        f"variant {self.name!r}: toolkit starts from the dense network and has "
                        f"settings of its own; it does not use {name}; leave it out"
                    )
        return self

    @model_validator(mode="after")
    def _settings_are_used(self) -> "Variant":
        untrained = [method.do for method in self.methods if not method.trains]
        given = [name for name in ("steps", "learning_rate") if getattr(self, name) is not None]
        given += [method.do for method in self.methods if method.trains]
        if untrained and given:
            raise ValueError(
                f"variant {self.name!r}: {untrained[0]} does not train and does not use "
                f"{given[0]}; leave it out"
            )
        return self


class Compress(_Section):
    """Pruning and int8 training, learned together."""

    variants: tuple[Variant, ...] = (
        Variant(name="dense-int8"),
        Variant(name="weight80-int8", methods=(Prune(do="prune", sparsity=0.80),)),
        Variant(name="weight95-int8", methods=(Prune(do="prune", sparsity=0.95),)),
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
            if variant.parent in (each.name for each in self.variants if each.toolkit):
                raise ValueError(
                    f"variant {variant.name!r}: nothing can start from {variant.parent!r}, which "
                    "the toolkit makes"
                )
            if variant.parent not in known:
                raise ValueError(
                    f"variant {variant.name!r}: parent {variant.parent!r} is none of the models "
                    f"before it ({', '.join(known)})"
                )
            if not variant.trains and not variant.toolkit and variant.parent == DENSE:
                raise ValueError(
                    f"variant {variant.name!r}: without training it needs a trained integer model; "
                    "give one as its parent"
                )
            known.append(variant.name)
        return self

    @model_validator(mode="after")
    def _schedules_fit(self) -> "Compress":
        trained = [variant for variant in self.variants if variant.trains]
        lengths = [variant.steps or self.steps for variant in trained]
        if lengths and self.validate_every > max(lengths):
            raise ValueError(
                f"validate_every = {self.validate_every} is more than the {max(lengths)} steps of "
                "the longest variant; lower it"
            )
        for variant, steps in zip(trained, lengths, strict=True):
            if any(method.scheduled for method in variant.methods):
                end = round(steps * self.prune_until)
                if not self.prune_every <= end < steps:
                    raise ValueError(
                        f"variant {variant.name!r}: prune_until = {self.prune_until:g} of {steps} "
                        f"steps is step {end}; expected {self.prune_every} (prune_every) to "
                        f"{steps - 1}, so that there is a schedule and training after it"
                    )
        return self


class Compile(_Section):
    """Vela."""

    accelerator: NpuName = "ethos-u55-128"
    """NPU configuration."""
    system: str = DEFAULT_SYSTEM
    """Vela system configuration: clock and memory bandwidths."""
    memory_modes: Annotated[tuple[str, ...], Field(min_length=1), Distinct] = (
        "Shared_Sram",
        "Sram_Only",
    )
    """Shared_Sram: weights stay in flash; Sram_Only: weights in SRAM."""
    # Left out of files and keys where there is none: those without stay as they are.
    vela_config: Annotated[Path | None, Field(exclude_if=lambda path: path is None)] = None
    """Your own systems and memory modes, a file like Vela's vela.ini; Arm's stay known."""

    @model_validator(mode="after")
    def _vela_knows_them(self) -> "Compile":
        config = VelaConfig.load(self.vela_config)
        for mode in self.memory_modes:
            memory_system(self.system, mode, config)
        return self


class Evaluate(_Section):
    """Quality of every stage's model on the fixed test mixtures."""

    runner: Annotated[
        Literal["tflite", "tflm", "emulator"], tyro.conf.arg(aliases=["--runner"])
    ] = "tflite"
    """What executes the integer model."""
    peers: Annotated[
        tuple[Literal["RNNoise", "GTCRN", "DTLN", "UL-UNAS", "DeepFilterNet3"], ...], Distinct
    ] = ()
    """Other enhancers to score on the same files (needs the `peers` extra)."""
    dnsmos: bool = False
    """Score DNSMOS P.835 as well (needs the `peers` extra)."""
    workers: Positive = 2
    """Processes that compute metrics."""


class OnTarget(_Section):
    """The firmware with every compiled model, run on a board or its simulator."""

    board: Literal["none", "virtual", "fvp"] = "none"
    """none: not run; virtual: QEMU with the NPU's emulator; fvp: Arm's FVP, which has to be on
    PATH. Both need what `make firmware` builds."""
    mixtures: Positive = 1
    """How many of the test mixtures, the first ones."""
    firmware: Path | None = None
    """The board's image; where `make firmware` leaves it, if a board needs it."""
    plugin: Path | None = None
    """The NPU for QEMU (board = "virtual"), likewise."""

    @model_validator(mode="before")
    @classmethod
    def _files_of_the_board(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        used = {"virtual": {"firmware": FIRMWARE, "plugin": PLUGIN}, "fvp": {"firmware": FIRMWARE}}
        built = used.get(given.get("board", "none"), {})
        names = ("firmware", "plugin")
        return given | {n: (given.get(n) or built[n]) if n in built else None for n in names}


class Deployment(_Section):
    """An NPU and the memories around it."""

    accelerator: NpuName = "ethos-u55-128"
    """NPU configuration, by Vela's name."""
    system: str = DEFAULT_SYSTEM
    """Vela system configuration: clock and memory bandwidths."""


class Study(_Section):
    """Trade-off between quality, size and speed over all variants (`pipeline.sweep`)."""

    deployments: Annotated[tuple[Deployment, ...], Field(min_length=1), Distinct] = (
        Deployment(),
        Deployment(accelerator="ethos-u55-32"),
        Deployment(accelerator="ethos-u55-64"),
        Deployment(accelerator="ethos-u55-256"),
        Deployment(system="Ethos_U55_Deep_Embedded"),
    )
    """Where every model is compiled for; headlines are about the first."""
    sram_bytes: Positive = 320 * 1024
    """SRAM for the arena and for weights copied at boot; what does not fit stays in flash."""
    headline: Annotated[tuple[str, ...], Distinct] = ()
    """Variants repeated, with the models they come from, for each of `seeds`."""
    seeds: Annotated[tuple[Seed, ...], Distinct] = ()
    """Seeds of the repetitions, `seed` excepted."""
    cpus: Positive | None = None
    """CPUs a local Ray may use; none: all. A cluster (RAY_ADDRESS) knows its own."""

    @model_validator(mode="after")
    def _repetitions_are_whole(self) -> "Study":
        for given, missing in pairwise(("headline", "seeds", "headline")):
            if getattr(self, given) and not getattr(self, missing):
                raise ValueError(f"{given} repeats nothing without {missing}; give both")
        return self


class Config(_Section):
    """All settings of a run."""

    seed: Seed = 1
    """Seed of everything random."""
    data: Data = Data()
    mixing: Mixing = Mixing()
    model: Network = DEFAULT_NETWORK
    train: Train = Train()
    compress: Compress = Compress()
    compile: Compile = Compile()
    evaluate: Evaluate = Evaluate()
    on_target: OnTarget = OnTarget()
    study: Study = Study()

    @model_validator(mode="after")
    def _study_is_possible(self) -> "Config":
        names = [variant.name for variant in self.compress.variants]
        for name in self.study.headline:
            if name not in names:
                raise ValueError(
                    f"study.headline: {name!r} is none of the variants ({', '.join(names)})"
                )
        for name in names:
            for seed in self.study.seeds:
                if f"{name}-seed{seed}" in names:
                    raise ValueError(
                        f"variant name '{name}-seed{seed}' is that of {name!r} with seed {seed} of "
                        "study.seeds; choose another"
                    )
        if self.study.cpus is not None and self.study.cpus < self.train.threads:
            raise ValueError(
                f"study.cpus = {self.study.cpus}: a training takes train.threads = "
                f"{self.train.threads}"
            )
        config = VelaConfig.load(self.compile.vela_config)
        for deployment in self.study.deployments:
            for mode in PLACEMENT_MODES:
                memory_system(deployment.system, mode, config)
        return self

    @property
    def network(self) -> NetworkSettings:
        """The network that is trained.

        Raises:
            ConfigError: there is none, but a problem of the optimization toolkit.
        """
        if isinstance(self.model, ToolkitProblem):
            raise ConfigError(f"model.problem = {self.model.problem!r} is no network of a hop")
        return self.model

    @property
    def skipped_stages(self) -> tuple[str, ...]:
        """Stages that have nothing to make of the model."""
        return SPEECH_STAGES if isinstance(self.model, ToolkitProblem) else ()

    @model_validator(mode="after")
    def _problem_has_its_own_data(self) -> "Config":
        if not isinstance(self.model, ToolkitProblem):
            return self
        for name in ("data", "mixing", "train", "evaluate", "study"):
            if getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(
                    f'network = "tfmot" brings data, loss and training of its own and does not '
                    f"use [{name}]; leave it out"
                )
        for variant in self.compress.variants:
            if not variant.toolkit:
                raise ValueError(
                    f'variant {variant.name!r}: network = "tfmot" is made by the toolkit alone; '
                    'list its steps, such as toolkit = [{ do = "train" }, { do = "quantize" }]'
                )
        return self

    @model_validator(mode="after")
    def _pairs_have_their_snr(self) -> "Config":
        ranges = ("snr_low_db", "snr_high_db")
        if self.data.source == "paired" and any(
            getattr(self.mixing, name) != Mixing.model_fields[name].default for name in ranges
        ):
            raise ValueError(
                'mixing.snr_low_db and snr_high_db are not used with data.source = "paired": the '
                "recordings are mixed already; leave them out"
            )
        return self


def load(path: Path) -> Config:
    """Read and check a TOML file, with or without a byte-order mark.

    Raises:
        ConfigError: names the file, the key, what was expected and the closest valid name.
    """
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as TOML: {error}") from error
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        raise ConfigError("\n".join(f"{path}: {line}" for line in _explain(error))) from error


def _explain(error: ValidationError) -> list[str]:
    lines = []
    for problem in error.errors():
        parts = [str(part) for part in problem["loc"]]
        if parts[:1] == ["model"]:
            # The second part says which network's settings these are.
            del parts[1:2]
        key = ".".join(parts)
        if problem["type"] == "extra_forbidden":
            close = difflib.get_close_matches(key, _keys(Config), n=1, cutoff=0.0)
            lines.append(f"unknown setting {key!r}; did you mean {close[0]!r}?")
        elif problem["type"] == "value_error":
            # A rule between settings: its text names them, and its input is a whole section.
            section = f"{key}: " if key else ""
            lines.append(section + problem["msg"].removeprefix("Value error, "))
        else:
            lines.append(f"{key} = {problem['input']!r}: {problem['msg']}")
    return lines


def _keys(section: type[BaseModel], prefix: str = "") -> list[str]:
    names: list[str] = []
    for name, field in section.model_fields.items():
        names.append(prefix + name)
        for annotation in (field.annotation, *get_args(field.annotation)):
            kind = getattr(annotation, "__origin__", annotation)
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                names += _keys(kind, f"{prefix}{name}.")
    return names
