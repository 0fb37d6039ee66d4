"""A network as a value: the graph of one hop, from which every view is derived.

A definition talks to `Net`; training, pruning and lowering fold over the `HopGraph` it builds.
There are two ways to remember: a state takes the value that the hop before gave it (recurrence), a
delay gives frames of some hops ago (convolution over time). All is zero before the first hop.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, Literal, get_args

from pydantic import ConfigDict, TypeAdapter, ValidationError

from pipeline.errors import InputError

Op = Literal[
    "input", "state", "delay", "concat", "slice", "reshape",
    "transpose", "requantize", "product", "conv", "depthwise", "sigmoid", "tanh", "softmax",
    "mul", "add", "sub", "matmul", "mean",
]  # fmt: skip
Shape = tuple[int, ...]
WITH_MATRIX = ("product", "conv", "depthwise")
# What shows its input's integers again, on the input's grid.
MOVES = ("delay", "concat", "slice", "reshape", "transpose")
# What a matmul sums over and a softmax goes over: up to here a matmul's sums are exact in float32,
# and the softmax of TensorFlow Lite does not abort.
ROW_LIMIT = 128
# Hops under a depthwise kernel: the largest stride of an Ethos-U.
DEPTHWISE_TAPS = 3
# A network with a gate computes one hop in so many at least.
LONGEST_WAIT = 4
# Added to the variance that a normalized node divides by.
NORM_EPSILON = 1e-3
_INPUTS = {"input": 0, "state": 0, "mul": 2, "add": 2, "sub": 2, "matmul": 2}


class GraphError(InputError):
    """A graph is not one of a network's hop; the text names the node."""


@dataclasses.dataclass(frozen=True)
class Node:
    """An operator and the tensor it makes.

    Attributes:
        name: of the tensor.
        op: what makes it.
        inputs: names of what it reads, all of them before it.
        shape: of one hop, channels last: ``(channels,)``, ``(bands, channels)`` or
            ``(heads, bands, channels)``.
        role: key of its grid in a numeric scheme; None where operator or input fix it.
        matrix: of a product (input channels to channels), a convolution over bands, the first of
            two or three axes (the inputs of neighbouring bands side by side, lowest band first, to
            channels) or a depthwise one (a row of channels for every neighbour, and of these for
            every hop side by side).
        begin: first channel of a slice.
        order: of a transpose: which axis of its input each axis is.
        transposed: whether a matmul's second operand is read with its last two axes exchanged.
        kernel: bands under a convolution, centred, zeros beyond the ends.
        delays: of a delay: how many hops ago each of the frames was that stand side by side in the
            channels.
        relu: whether negative values of a product or sum become zero.
        normalize: whether sums are batch-normalized while training in floating point.
        limit: largest magnitude, in every scheme.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    name: str
    op: Op
    inputs: tuple[str, ...]
    shape: Shape
    role: str | None = None
    matrix: str | None = None
    begin: int = 0
    order: tuple[int, ...] = ()
    transposed: bool = False
    kernel: int = 1
    delays: tuple[int, ...] = ()
    relu: bool = False
    normalize: bool = False
    limit: float | None = None

    @property
    def channels(self) -> int:
        """Size of the last axis."""
        return self.shape[-1]


@dataclasses.dataclass(frozen=True)
class Region:
    """States for whose recurrence a fast kernel of its own may stand.

    Attributes:
        kind: which kernel.
        states: their names.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    kind: Literal["lstm"]
    states: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class HopGraph:
    """One hop of a network.

    Attributes:
        nodes: in an order of execution.
        output: name of the tensor that leaves, the band mask.
        next_state: pairs of a state and the tensor it becomes.
        regions: recurrences of a known kind.
        gate: tensor of one value that says how soon the next hop is to be computed
            (`pipeline.training.skipping`); none: every hop is.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    nodes: tuple[Node, ...]
    output: str
    next_state: tuple[tuple[str, str], ...] = ()
    regions: tuple[Region, ...] = ()
    gate: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_name", {node.name: node for node in self.nodes})
        _check(self)

    def __getitem__(self, name: str) -> Node:
        return self._by_name[name]  # type: ignore[attr-defined,no-any-return]

    def __contains__(self, name: str) -> bool:
        return name in self._by_name  # type: ignore[attr-defined]

    @property
    def features(self) -> Node:
        """The one input."""
        return next(node for node in self.nodes if node.op == "input")

    def matrices(self) -> dict[str, tuple[int, int]]:
        """Shape ``(inputs, outputs)`` of every matrix, in the order of the computation."""
        return {n.matrix: self.matrix_shape(n) for n in self.nodes if n.matrix is not None}

    def matrix_shape(self, node: Node) -> tuple[int, int]:
        """Of the matrix that a node multiplies by."""
        read = node.kernel * self[node.inputs[0]].channels
        return read // node.channels if node.op == "depthwise" else read, node.channels

    def roles(self) -> dict[str, str | None]:
        """Role of every tensor; what only moves values keeps its first input's."""
        roles: dict[str, str | None] = {}
        for node in self.nodes:
            roles[node.name] = roles[node.inputs[0]] if node.op in MOVES else node.role
        return roles

    def readers(self, name: str) -> list[Node]:
        """Nodes that read a tensor."""
        return [node for node in self.nodes if name in node.inputs]

    def window(self, node: Node) -> Node | None:
        """The delay that a convolution reads beside the tensor it delays, if its hops are even."""
        read = self[node.inputs[0]] if node.op == "conv" else None
        if read is None or read.op != "concat" or len(read.inputs) != 2:
            return None
        delay = self[read.inputs[0]]
        if delay.op != "delay" or delay.inputs != read.inputs[1:]:
            return None
        even = [delay.delays[-1] * k for k in range(len(delay.delays), 0, -1)]
        return delay if even == list(delay.delays) else None

    def multiplied(self) -> frozenset[str]:
        """Matrices that make the operands of a matmul.

        A column of theirs that is masked has no bias either: nobody has weights to mask it with.
        """
        found: set[str] = set()
        seen: set[str] = set()
        follow = [name for node in self.nodes if node.op == "matmul" for name in node.inputs]
        becomes = dict(self.next_state)
        while follow:
            name = follow.pop()
            if name in seen:
                continue
            seen.add(name)
            node = self[name]
            if node.matrix is not None:
                found.add(node.matrix)
            else:
                follow += [becomes[name]] if node.op == "state" else node.inputs
        return frozenset(found)

    def recurrences(self) -> list[frozenset[str]]:
        """Names of the nodes that lie on a way from a state to what it becomes, by recurrence."""
        found: list[frozenset[str]] = []
        for state, becomes in self.next_state:
            after = {state}
            for node in self.nodes:
                if after.intersection(node.inputs):
                    after.add(node.name)
            before = {becomes}
            for node in reversed(self.nodes):
                if node.name in before:
                    before.update(node.inputs)
            ring = frozenset(after & before) | {state, becomes}
            overlapping = [other for other in found if other & ring]
            found = [other for other in found if not other & ring]
            found.append(ring.union(*overlapping))
        return found

    def replace(self, changed: Sequence[Node], **changes: Any) -> "HopGraph":
        """The same graph with nodes of the same names exchanged."""
        by_name = {node.name: node for node in changed}
        nodes = tuple(by_name.get(node.name, node) for node in self.nodes)
        return dataclasses.replace(self, nodes=nodes, **changes)

    def folded(self) -> "HopGraph":
        """The graph without batch normalization, see `Trained.folded`."""
        return self.replace([dataclasses.replace(node, normalize=False) for node in self.nodes])

    def to_json(self) -> Any:
        """JSON data; what is as usual is left out."""
        return _ADAPTER.dump_python(self, mode="json", exclude_defaults=True)

    @classmethod
    def from_json(cls, data: Any) -> "HopGraph":
        """Check what `to_json` returned.

        Raises:
            GraphError: it is no graph of a hop; names the field or node.
        """
        try:
            return _ADAPTER.validate_python(data)
        except ValidationError as error:
            problem = error.errors()[0]
            if isinstance(reason := problem.get("ctx", {}).get("error"), GraphError):
                raise reason from error
            where = ".".join(str(part) for part in problem["loc"])
            raise GraphError(f"network graph: {where}: {problem['msg']}") from error


_ADAPTER = TypeAdapter(HopGraph)


def _check(graph: HopGraph) -> None:
    known: dict[str, Node] = {}
    for node in graph.nodes:
        if node.name in known or not node.name:
            raise GraphError(f"network graph: node name {node.name!r} is empty or used twice")
        for name in node.inputs:
            if name not in known:
                raise GraphError(
                    f"network graph: node {node.name!r} reads {name!r}, which is not before it"
                )
        _check_node(node, [known[name] for name in node.inputs])
        known[node.name] = node
    if sum(node.op == "input" for node in graph.nodes) != 1:
        raise GraphError("network graph: expected exactly one input")
    if graph.output not in known:
        raise GraphError(f"network graph: the output {graph.output!r} is no node")
    states = {node.name for node in graph.nodes if node.op == "state"}
    becomes = dict(graph.next_state)
    if len(becomes) != len(graph.next_state) or becomes.keys() != states:
        raise GraphError(
            f"network graph: next_state is about {sorted(becomes)}; the states are {sorted(states)}"
        )
    for state, name in graph.next_state:
        if name not in known or known[name].shape != known[state].shape:
            raise GraphError(f"network graph: state {state!r} cannot become {name!r}")
    if graph.gate is not None:
        if graph.gate not in known or known[graph.gate].shape != (1,):
            raise GraphError(f"network graph: the gate {graph.gate!r} is no node of one value")
        if any(node.op == "delay" for node in graph.nodes):
            raise GraphError("network graph: with a gate, no node may be a delay")
    for region in graph.regions:
        if not states.issuperset(region.states):
            raise GraphError(f"network graph: region of {region.states}: not all are states")
    names = [node.matrix for node in graph.nodes if node.matrix is not None]
    if len(set(names)) != len(names):
        raise GraphError("network graph: a matrix is used twice")


def _check_node(node: Node, inputs: list[Node]) -> None:
    expected = _INPUTS.get(node.op, 1)
    if node.op == "concat" and inputs:
        expected = len(inputs)
    if (
        node.op not in get_args(Op)
        or len(inputs) != expected
        or not 1 <= len(node.shape) <= 3
        or min(node.shape) < 1
        or node.kernel < 1
        or (node.matrix is not None) != (node.op in WITH_MATRIX)
        or (node.op == "delay") != bool(node.delays)
        or (node.op == "transpose") != bool(node.order)
        or (node.transposed and node.op != "matmul")
        or any(delay < 1 for delay in node.delays)
        or (inputs and _shape(node, [x.shape for x in inputs]) != node.shape)
    ):
        raise GraphError(
            f"network graph: node {node.name!r} ({node.op}) of shape {list(node.shape)} does not "
            f"fit its inputs {[list(x.shape) for x in inputs]}"
        )


def _shape(node: Node, x: list[Shape]) -> Shape | None:
    """What the shape must be; None if the inputs do not fit."""
    first = x[0]
    if node.op == "product":
        return (*first[:-1], node.channels)
    if node.op == "conv":
        return (*first[:-1], node.channels) if len(first) > 1 and node.kernel % 2 else None
    if node.op == "depthwise":
        taps, rest = divmod(first[-1], node.channels)
        fits = len(first) == 2 and node.kernel % 2 and not rest and taps <= DEPTHWISE_TAPS
        return (first[0], node.channels) if fits else None
    if node.op == "concat":
        same = all(shape[:-1] == first[:-1] for shape in x)
        return (*first[:-1], sum(shape[-1] for shape in x)) if same else None
    if node.op == "slice":
        fits = node.begin >= 0 and node.begin + node.channels <= first[-1]
        return (*first[:-1], node.channels) if fits else None
    if node.op == "reshape":
        return node.shape if math.prod(node.shape) == math.prod(first) else None
    if node.op == "delay":
        return (*first[:-1], len(node.delays) * first[-1])
    if node.op == "transpose":
        every_axis = sorted(node.order) == list(range(len(first)))
        return tuple(first[axis] for axis in node.order) if every_axis else None
    if node.op == "matmul":
        return _product_shape(first, x[1], node.transposed)
    if node.op == "mean":
        # A power of two, so that the sum is only shifted.
        return first[1:] if len(first) == 2 and first[0] & (first[0] - 1) == 0 else None
    if node.op == "softmax":
        return first if first[-1] <= ROW_LIMIT else None
    return first if all(_spreads(shape, first) for shape in x) else None


def _spreads(shape: Shape, over: Shape) -> bool:
    """Whether a tensor stands for the same values in every place of axes that it lacks."""
    sizes = list(zip(shape[::-1], over[::-1]))
    fits = len(shape) <= len(over) and all(size in (1, whole) for size, whole in sizes)
    return fits and shape[-1] == over[-1]


def _product_shape(a: Shape, b: Shape, transposed: bool) -> Shape | None:
    if len(a) != len(b) or len(a) < 2 or a[:-2] != b[:-2] or a[-1] > ROW_LIMIT:
        return None
    depth, columns = (b[-1], b[-2]) if transposed else b[-2:]
    return (*a[:-1], columns) if depth == a[-1] else None


class Net:
    """Builds a `HopGraph`; every method returns the node it adds."""

    def __init__(self) -> None:
        self._nodes: list[Node] = []
        self._next: list[tuple[str, str]] = []
        self._regions: list[Region] = []

    def _add(self, name: str, op: Op, inputs: Sequence[Node], shape: Shape, **rest: Any) -> Node:
        node = Node(name, op, tuple(x.name for x in inputs), shape, **rest)
        self._nodes.append(node)
        return node

    def input(self, name: str, shape: Shape, role: str) -> Node:
        """The features."""
        return self._add(name, "input", (), shape, role=role)

    def state(self, name: str, shape: Shape, role: str) -> Node:
        """What `next` gave it in the hop before."""
        return self._add(name, "state", (), shape, role=role)

    def delay(self, x: Node, *delays: int) -> Node:
        """Frames of `x` so many hops ago, side by side in the channels."""
        name = f"{x.name}_ago{'_'.join(str(delay) for delay in delays)}"
        shape = (*x.shape[:-1], len(delays) * x.channels)
        return self._add(name, "delay", (x,), shape, delays=delays)

    def concat(self, name: str, *x: Node) -> Node:
        """Channels side by side; all on one grid."""
        return self._add(name, "concat", x, (*x[0].shape[:-1], sum(y.channels for y in x)))

    def slice(self, name: str, x: Node, begin: int, end: int) -> Node:
        """Channels from `begin` to before `end`."""
        return self._add(name, "slice", (x,), (*x.shape[:-1], end - begin), begin=begin)

    def split(self, names: Sequence[str], x: Node) -> list[Node]:
        """Equal parts of the channels."""
        width = x.channels // len(names)
        return [self.slice(n, x, k * width, (k + 1) * width) for k, n in enumerate(names)]

    def reshape(self, name: str, x: Node, *shape: int) -> Node:
        """The same values in another shape."""
        return self._add(name, "reshape", (x,), shape)

    def transpose(self, name: str, x: Node, *order: int) -> Node:
        """The same values with their axes in another order."""
        shape = tuple(x.shape[axis] for axis in order)
        return self._add(name, "transpose", (x,), shape, order=order)

    def requantize(self, name: str, x: Node, role: str | None = None) -> Node:
        """The same values on another grid."""
        return self._add(name, "requantize", (x,), x.shape, role=role or name)

    def product(
        self, name: str, x: Node, channels: int, role: str, matrix: str | None = None, **how: Any
    ) -> Node:
        """Every band's channels times a matrix."""
        shape = (*x.shape[:-1], channels)
        return self._add(name, "product", (x,), shape, role=role, matrix=matrix or name, **how)

    def conv(
        self, name: str, x: Node, channels: int, kernel: int, role: str | None = None, **how: Any
    ) -> Node:
        """Convolution over bands; with `delay` and `concat`, over time too."""
        shape = (*x.shape[:-1], channels)
        how = {"role": role or name, "matrix": name, "kernel": kernel} | how
        return self._add(name, "conv", (x,), shape, **how)

    def depthwise(
        self,
        name: str,
        x: Node,
        kernel: int,
        role: str | None = None,
        taps: int = 1,
        **how: Any,
    ) -> Node:
        """Convolution over bands of every channel by itself, and over hops side by side."""
        how = {"role": role or name, "matrix": name, "kernel": kernel} | how
        return self._add(name, "depthwise", (x,), (x.shape[0], x.channels // taps), **how)

    def sigmoid(self, name: str, x: Node, role: str) -> Node:
        """Logistic function."""
        return self._add(name, "sigmoid", (x,), x.shape, role=role)

    def tanh(self, name: str, x: Node, role: str) -> Node:
        """Hyperbolic tangent."""
        return self._add(name, "tanh", (x,), x.shape, role=role)

    def softmax(self, name: str, x: Node, role: str = "attention") -> Node:
        """Exponentials over their sum, along the channels."""
        return self._add(name, "softmax", (x,), x.shape, role=role)

    def matmul(
        self, name: str, a: Node, b: Node, role: str | None = None, transposed: bool = False
    ) -> Node:
        """Rows of `a` times columns of `b`, of its rows if `transposed`; by head."""
        shape = (*a.shape[:-1], b.shape[-2 if transposed else -1])
        return self._add(name, "matmul", (a, b), shape, role=role or name, transposed=transposed)

    def mean(self, name: str, x: Node, role: str | None = None) -> Node:
        """Over bands."""
        return self._add(name, "mean", (x,), x.shape[1:], role=role or name)

    def mul(self, name: str, a: Node, b: Node, role: str) -> Node:
        """Elementwise product; `b` may be one row for all bands, here as in `add` and `sub`."""
        return self._add(name, "mul", (a, b), a.shape, role=role)

    def add(self, name: str, a: Node, b: Node, role: str | None = None, **how: Any) -> Node:
        """Elementwise sum."""
        return self._add(name, "add", (a, b), a.shape, role=role or name, **how)

    def sub(self, name: str, a: Node, b: Node, role: str | None = None) -> Node:
        """Elementwise difference."""
        return self._add(name, "sub", (a, b), a.shape, role=role or name)

    def next(self, state: Node, x: Node) -> None:
        """What a state becomes."""
        self._next.append((state.name, x.name))

    def region(self, kind: Literal["lstm"], *states: Node) -> None:
        """Name a recurrence that has a kernel of its own."""
        self._regions.append(Region(kind, tuple(state.name for state in states)))

    def build(self, output: Node) -> HopGraph:
        """The finished graph."""
        return HopGraph(tuple(self._nodes), output.name, tuple(self._next), tuple(self._regions))
