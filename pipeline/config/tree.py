"""The tree of all sections, and the rules between them."""

from pydantic import model_validator

from pipeline.config.compile import Compile
from pipeline.config.compress import Compress
from pipeline.config.data import Data
from pipeline.config.evaluate import Evaluate
from pipeline.config.mixing import Mixing
from pipeline.config.on_target import OnTarget
from pipeline.config.section import Section, Seed
from pipeline.config.study import PLACEMENT_MODES, Study
from pipeline.config.train import Train
from pipeline.errors import InputError
from pipeline.ethosu.memory_system import memory_system
from pipeline.ethosu.vela_config import VelaConfig
from pipeline.networks import DEFAULT_NETWORK, Network
from pipeline.networks.problem import ToolkitProblem
from pipeline.networks.settings import NetworkSettings

# What has nothing to do for a model that does not enhance speech.
SPEECH_STAGES = ("prepare", "train", "evaluate")


class ConfigError(InputError):
    """A setting is unknown, of the wrong type or out of range."""


class Config(Section):
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
