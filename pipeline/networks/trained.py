"""A trained network in one pickle-free file: its graph, its weights, its grids, its front end."""

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from pipeline.artefacts import write_atomically
from pipeline.dsp import FrontEnd
from pipeline.errors import InputError
from pipeline.networks.graph import NORM_EPSILON, HopGraph
from pipeline.networks.settings import NetworkSettings
from pipeline.quantization.scheme import FLOAT, Scheme, integer_steps

if TYPE_CHECKING:
    from pipeline.training.model import SequenceModel

FORMAT = "network/1"
HEADER = "network"
PARTS = ("kernel", "bias", "mask")
# Of a batch-normalized matrix, and what each starts from.
NORMALIZED = {"gain": 1.0, "offset": 0.0, "mean": 0.0, "variance": 1.0}
FRONT_END = ("mean", "deviation")


@dataclasses.dataclass(frozen=True)
class Trained:
    """A network and everything training gave it, independent of Keras.

    Attributes:
        graph: what is computed.
        front_end: feature standardization it was trained with.
        arrays: float32 ``<matrix>/kernel|mask`` ``[inputs, outputs]`` and ``<matrix>/bias``
            ``[outputs]`` of every matrix; a network that is not yet `folded` also has those of its
            batch normalizations, ``<matrix>/gain|offset|mean|variance`` ``[outputs]``.
        scheme: numeric scheme it was trained in, with a grid for every role of the graph.
    """

    graph: HopGraph
    front_end: FrontEnd
    arrays: dict[str, NDArray[np.float32]]
    scheme: Scheme = FLOAT

    def build(self, scheme: Scheme | None = None) -> "SequenceModel":
        """Make it trainable, in its own or another scheme."""
        from pipeline.training.model import SequenceModel

        return SequenceModel(self.graph, self.arrays, scheme or self.scheme)

    def total(self, part: str) -> int:
        """Number of all elements of the matrices' ``kernel``, ``bias`` or ``mask``."""
        return sum(array.size for name, array in self.arrays.items() if name.endswith(f"/{part}"))

    def folded(self) -> "Trained":
        """The same function with its batch normalizations made part of kernels and biases."""
        arrays = {n: a for n, a in self.arrays.items() if n.rpartition("/")[2] in PARTS}
        for node in self.graph.nodes:
            if node.normalize:
                gain, offset, mean, variance = (
                    self.arrays[f"{node.matrix}/{part}"] for part in NORMALIZED
                )
                factor = gain / np.sqrt(variance + np.float32(NORM_EPSILON))
                arrays[f"{node.matrix}/kernel"] = arrays[f"{node.matrix}/kernel"] * factor
                bias = (arrays[f"{node.matrix}/bias"] - mean) * factor + offset
                arrays[f"{node.matrix}/bias"] = bias
        return dataclasses.replace(self, graph=self.graph.folded(), arrays=arrays)

    def save(self, path: Path) -> None:
        """Write a safetensors file, folded.

        Masks are packed bits, left out where they are all ones; kernels whose values are whole
        steps of an int8 grid are stored as those.
        """
        folded = self.folded()
        tensors: dict[str, NDArray[Any]] = {}
        for name, array in folded.arrays.items():
            if name.endswith("/mask"):
                if not np.all(array == 1):
                    tensors[name] = np.packbits(array != 0)
            else:
                tensors[name] = np.ascontiguousarray(array)
        scales = {}
        for name in self.graph.matrices():
            kernel = folded.arrays[f"{name}/kernel"]
            steps, scale = integer_steps(kernel)
            if np.array_equal(steps * np.float32(scale), kernel):
                tensors[f"{name}/kernel"], scales[name] = steps, scale
        for part in FRONT_END:
            tensors[f"front_end/{part}"] = getattr(self.front_end, part)
        header = {
            "format": FORMAT,
            "graph": folded.graph.to_json(),
            "scheme": self.scheme.to_json(),
            "scales": scales,
            "conditioned": self.front_end.conditioned,
        }
        # One entry only: the library writes several in a random order, and equal networks should
        # be equal files.
        write_atomically(path, save(tensors, metadata={HEADER: json.dumps(header)}))

    @classmethod
    def load(cls, path: Path) -> "Trained":
        """Read and check a file, of this format or the one before.

        Raises:
            InputError: names the file and what is wrong with it.
        """
        try:
            with safe_open(path, framework="numpy") as file:
                metadata = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError, ValueError) as error:
            raise InputError(f"{path}: not a readable safetensors file ({error})") from error
        try:
            return _read(metadata, tensors)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            reason = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else error
            raise InputError(f"{path}: not a trained network: {reason}") from error


def untrained(network: NetworkSettings, front_end: FrontEnd, seed: int) -> Trained:
    """A network of these settings to start training from."""
    graph = network.define()
    arrays = network.initial(graph, seed)
    for matrix, shape in graph.matrices().items():
        arrays.setdefault(f"{matrix}/bias", np.zeros(shape[1], np.float32))
        arrays[f"{matrix}/mask"] = np.ones(shape, np.float32)
    for node in graph.nodes:
        if node.normalize:
            for part, value in NORMALIZED.items():
                usual = np.full(node.channels, value, np.float32)
                arrays.setdefault(f"{node.matrix}/{part}", usual)
    return Trained(graph, front_end, arrays)


def _read(metadata: dict[str, str], tensors: dict[str, NDArray[Any]]) -> Trained:
    if "masknet" in metadata:
        header = json.loads(metadata["masknet"])
        graph, scheme = _earlier_header(header)
        scales: dict[str, float] = {}
    else:
        header = json.loads(metadata.get(HEADER, "{}"))
        if header.get("format") != FORMAT:
            raise InputError(f"format is {header.get('format')!r}, expected {FORMAT!r}")
        graph, scheme = HopGraph.from_json(header["graph"]), Scheme.from_json(header["scheme"])
        scales = {name: float(scale) for name, scale in header["scales"].items()}
    mean, deviation = (tensors.pop(f"front_end/{part}") for part in FRONT_END)
    front_end = FrontEnd(mean, deviation, conditioned=header.get("conditioned") is True)
    if front_end.bands != graph.features.shape[0]:
        raise InputError(
            f"the front end has {front_end.bands} bands, the network reads "
            f"{graph.features.shape[0]}"
        )
    arrays: dict[str, NDArray[np.float32]] = {}
    for matrix, shape in graph.matrices().items():
        kernel, bias = tensors.pop(f"{matrix}/kernel"), tensors.pop(f"{matrix}/bias")
        if kernel.dtype == np.int8:
            kernel = kernel * np.float32(scales[matrix])
        mask = _mask(tensors.pop(f"{matrix}/mask", None), shape)
        arrays |= {f"{matrix}/kernel": kernel, f"{matrix}/bias": bias, f"{matrix}/mask": mask}
        for part, expected in (("kernel", shape), ("bias", shape[1:]), ("mask", shape)):
            check_array(f"{matrix}/{part}", arrays[f"{matrix}/{part}"], expected)
    if tensors:
        raise InputError(f"tensor {min(tensors)!r} belongs to no matrix of the network")
    return Trained(graph, front_end, arrays, scheme)


def check_array(name: str, array: NDArray[Any], shape: tuple[int, ...]) -> None:
    """Refuse what is not a finite float32 array of a shape.

    Raises:
        InputError: names the tensor.
    """
    if array.shape != shape or array.dtype != np.float32:
        raise InputError(
            f"tensor {name!r} is {array.dtype}{list(array.shape)}, the network needs "
            f"float32{list(shape)}"
        )
    if not np.isfinite(array).all():
        raise InputError(f"tensor {name!r} holds NaN or infinity")


def _mask(stored: NDArray[Any] | None, shape: tuple[int, int]) -> NDArray[np.float32]:
    if stored is None:
        return np.ones(shape, np.float32)
    if stored.dtype == np.uint8 and stored.size == -(-shape[0] * shape[1] // 8):
        stored = np.unpackbits(stored, count=shape[0] * shape[1]).reshape(shape)
    return stored.astype(np.float32)


def _earlier_header(header: dict[str, Any]) -> tuple[HopGraph, Scheme]:
    """Graph and scheme of a file that names sizes instead of a graph."""
    from pipeline.networks.tinylstms import earlier_graph
    from pipeline.quantization import SCHEMES

    scheme = SCHEMES[header["scheme"]]
    if scheme.grids:
        scheme = scheme.measured("relu", float(header["relu_maximum"]), signed=False)
    return earlier_graph(header["model"]), scheme
