"""The one tree of settings, loaded from a TOML file and overridable from the command line.

A module a section, named like it; `pipeline.networks` has `model`. Rules between sections are with
the tree.
"""

from pipeline.config.compile import Compile
from pipeline.config.compress import DENSE, Compress, Variant
from pipeline.config.data import Data
from pipeline.config.mixing import Mixing
from pipeline.config.on_target import OnTarget
from pipeline.config.reading import load
from pipeline.config.study import PLACEMENT_MODES, Deployment, Study
from pipeline.config.train import Train
from pipeline.config.tree import Config, ConfigError

__all__ = [
    "DENSE",
    "PLACEMENT_MODES",
    "Compile",
    "Compress",
    "Config",
    "ConfigError",
    "Data",
    "Deployment",
    "Mixing",
    "OnTarget",
    "Study",
    "Train",
    "Variant",
    "load",
]
