"""Network weights and front-end constants in one pickle-free file."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from pipeline.artefacts import write_atomically
from pipeline.config import Model
from pipeline.dsp import FrontEnd
from pipeline.errors import InputError
from pipeline.models.masknet import MaskNet
from pipeline.quantization import FLOAT, SCHEMES, Scheme

FORMAT = "masknet/1"
HEADER = "masknet"


@dataclasses.dataclass(frozen=True)
class Weights:
    """A trained network, independent of Keras.

    Attributes:
        model: its size.
        front_end: it was trained with.
        arrays: ``<matrix>/kernel|bias|mask`` arrays, see `MaskNet.get_arrays`.
        scheme: numeric scheme it was trained in.
        relu_maximum: top of the ReLU grid.
    """

    model: Model
    front_end: FrontEnd
    arrays: dict[str, np.ndarray]
    scheme: Scheme = FLOAT
    relu_maximum: float = 1.0

    def build(self, scheme: Scheme | None = None) -> MaskNet:
        """Instantiate the network with these weights, in its own or another scheme."""
        network = MaskNet(self.model, scheme=scheme or self.scheme, relu_maximum=self.relu_maximum)
        network.set_arrays(self.arrays)
        return network

    def total(self, part: str) -> int:
        """Number of all elements of the matrices' ``kernel``, ``bias`` or ``mask``."""
        return sum(array.size for name, array in self.arrays.items() if name.endswith(f"/{part}"))

    def save(self, path: Path) -> None:
        """Write a safetensors file; all-ones masks are left out."""
        tensors = {
            name: np.ascontiguousarray(array)
            for name, array in self.arrays.items()
            if not (name.endswith("/mask") and np.all(array == 1))
        }
        tensors["front_end/mean"] = self.front_end.mean
        tensors["front_end/deviation"] = self.front_end.deviation
        header = {
            "format": FORMAT,
            "model": self.model.model_dump(mode="json"),
            "scheme": self.scheme.name,
            "relu_maximum": self.relu_maximum,
        }
        # Left out where false: files of networks from before there was conditioning stay as they
        # are.
        if self.front_end.conditioned:
            header["conditioned"] = True
        # One entry only: the library writes several in a random order, and equal weights should
        # be equal files.
        write_atomically(path, save(tensors, metadata={HEADER: json.dumps(header)}))

    @classmethod
    def load(cls, path: Path) -> "Weights":
        """Read and check a file.

        Raises:
            InputError: names the file and what is wrong with it.
        """
        try:
            with safe_open(path, framework="numpy") as file:
                header: dict[str, Any] = json.loads((file.metadata() or {}).get(HEADER, "{}"))
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError, ValueError) as error:
            raise InputError(f"{path}: not a readable safetensors file ({error})") from error
        if not isinstance(header, dict) or header.get("format") != FORMAT:
            raise InputError(f"{path}: not weights of format {FORMAT!r}")
        try:
            front_end = FrontEnd(
                tensors.pop("front_end/mean"),
                tensors.pop("front_end/deviation"),
                conditioned=header.get("conditioned") is True,
            )
            model = Model.model_validate(header["model"])
            scheme, relu_maximum = SCHEMES[header["scheme"]], float(header["relu_maximum"])
        except (KeyError, TypeError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise InputError(f"{path}: damaged or of another version ({reason})") from error
        for name in [n for n in tensors if n.endswith("/kernel")]:
            mask = name.removesuffix("kernel") + "mask"
            tensors.setdefault(mask, np.ones_like(tensors[name]))
        for name, tensor in tensors.items():
            if not np.isfinite(tensor).all():
                raise InputError(f"{path}: tensor {name!r} holds NaN or infinity")
        return cls(model, front_end, tensors, scheme, relu_maximum)
