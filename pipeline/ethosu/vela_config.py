"""Systems and memory modes Vela can compile for: Arm's file, and one's own on top of it."""

from __future__ import annotations

import configparser
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import ethosu

from .errors import OptionError

ARM_CONFIG = Path(ethosu.__path__[0]) / "config_files" / "Arm" / "vela.ini"
DEFAULT_SYSTEM = "Ethos_U55_High_End_Embedded"
SYSTEM, MEMORY_MODE = "System_Config", "Memory_Mode"
VELA_NAME = "Ethos_U55"


@dataclass(frozen=True)
class VelaConfig:
    """What Vela knows of systems and memory modes.

    Attributes:
        own: text of a file in Vela's format, read after Arm's; empty for Arm's alone.
    """

    own: str = ""

    @classmethod
    def load(cls, path: Path | None) -> VelaConfig:
        """Read one's own file, if there is one.

        Raises:
            OptionError: it cannot be read, or describes no system and no memory mode.
        """
        if path is None:
            return cls()
        try:
            config = cls(path.read_text(encoding="utf-8-sig"))
            own = _parsed(config.own).sections()
            # With Arm's sections behind it, since a memory mode may inherit from one of them.
            _parsed(ARM_CONFIG.read_text(encoding="utf-8"), config.own)
        except (OSError, UnicodeDecodeError, configparser.Error) as error:
            reason = " ".join(str(error).split())
            raise OptionError(f"{path}: cannot be read as a Vela configuration: {reason}") from None
        if not any(name.startswith((f"{SYSTEM}.", f"{MEMORY_MODE}.")) for name in own):
            raise OptionError(
                f"{path}: has neither a [{SYSTEM}.NAME] nor a [{MEMORY_MODE}.NAME] section"
            )
        return config

    def systems(self) -> tuple[str, ...]:
        """Names of Arm's Ethos-U55 systems (clock, SRAM and flash speed) and of one's own."""
        own = _names(_parsed(self.own), SYSTEM)
        arm = [name for name in _names(self._all, SYSTEM) if name.startswith("Ethos_U55")]
        return tuple(dict.fromkeys([*arm, *own]))

    def memory_modes(self) -> tuple[str, ...]:
        """Names of the memory modes: Sram_Only = weights in SRAM, Shared_Sram = weights in flash.

        Arm's Dedicated_Sram modes are left out: they need a writable second memory, which no
        Ethos-U55 system of Arm's has.
        """
        own = _names(_parsed(self.own), MEMORY_MODE)
        arm = [n for n in _names(self._all, MEMORY_MODE) if not n.startswith("Dedicated")]
        return tuple(dict.fromkeys([*arm, *own]))

    def system(self, name: str) -> dict[str, str]:
        """Settings of a system, with what it inherits, by name.

        Raises:
            OptionError: no such name, listing the valid ones; or an inheritance without end.
        """
        check_choice("system", name, self.systems())
        return self._resolved(f"{SYSTEM}.{name}")

    def memory_mode(self, name: str) -> dict[str, str]:
        """Likewise of a memory mode."""
        check_choice("memory mode", name, self.memory_modes())
        return self._resolved(f"{MEMORY_MODE}.{name}")

    def text(self, system: str, memory_mode: str) -> str:
        """Both sections as a file, named `VELA_NAME` and with all that they inherit.

        Vela's two readers of such files differ in what a section inherits, and it takes the AXI
        ports of a system to be 128 bits wide unless its name starts with "Ethos_U55".
        """
        return "".join(
            f"[{kind}.{VELA_NAME}]\n" + "".join(f"{key}={value}\n" for key, value in items.items())
            for kind, items in (
                (SYSTEM, self.system(system)),
                (MEMORY_MODE, self.memory_mode(memory_mode)),
            )
        )

    def _resolved(self, section: str) -> dict[str, str]:
        found: dict[str, str] = {}
        chain: list[str] = []
        while section:
            if section in chain or section not in self._all:
                raise OptionError(f"[{chain[-1]}] cannot inherit from {section!r}")
            chain.append(section)
            found = {**self._all[section], **found}
            section = found.pop("inherit", "")
        return found

    @property
    def _all(self) -> configparser.ConfigParser:
        return _parsed(ARM_CONFIG.read_text(encoding="utf-8"), self.own)


ARM = VelaConfig()


def check_choice(option: str, value: str, valid: tuple[str, ...]) -> None:
    """Raise OptionError, which lists the valid values, for any other."""
    if value not in valid:
        raise OptionError(f"unknown {option} {value!r}; choose one of {', '.join(valid)}")


@cache
def _parsed(*texts: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    for text in texts:
        parser.read_string(text)
    return parser


def _names(parser: configparser.ConfigParser, kind: str) -> list[str]:
    sections = (section.partition(".") for section in parser.sections())
    return [name for prefix, _, name in sections if prefix == kind]
