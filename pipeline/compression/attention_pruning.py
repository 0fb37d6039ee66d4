"""Which channels of an attention matter: terms of its scores, and values that no other head has."""

import dataclasses
import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.compression.structures import UNIT_MULTIPLE, UnitStructure
from pipeline.networks.channels import Channels, UnitOf
from pipeline.networks.graph import HopGraph
from pipeline.networks.groups import Group, groups, keep_units
from pipeline.networks.trained import Trained

Importance = Literal["attention", "magnitude", "random"]
Array = NDArray[np.float64]
# Frames that are looked at, and the share of the scores' energy that counts.
FRAMES, ENERGY = 64, 0.99
SEED = 0


@dataclasses.dataclass(frozen=True)
class Attention:
    """A softmax of queries times keys, and the values it weighs.

    Attributes:
        query, key, value: tensors, ``[(heads,) tokens, channels]``.
        turned: of them those that are ``[(heads,) channels, tokens]``.
        pairs: of every head the channels that queries and keys share; none if they must stay.
        values: the same of the values.
    """

    query: str
    key: str
    value: str
    turned: frozenset[str]
    pairs: tuple[Group, ...]
    values: tuple[Group, ...]


def attentions(graph: HopGraph) -> list[Attention]:
    """Attentions of which channels can be removed."""
    channels = Channels(graph)
    group_of = {int(number): group for group in groups(graph) for number in group.numbers}

    def by_head(name: str, axis: int) -> tuple[Group, ...]:
        units = channels.of[name].get(axis)
        firsts = [] if units is None else [int(row[0]) for row in units.rows]
        found = [group_of[unit] for unit in firsts if unit in group_of]
        return tuple(found) if len(found) == len(firsts) else ()

    made = []
    for shares in (node for node in graph.nodes if node.op == "softmax"):
        scores = graph[shares.inputs[0]]
        found = [node for node in graph.readers(shares.name) if node.op == "matmul"]
        if scores.op != "matmul" or not found or found[0].inputs[0] != shares.name:
            continue
        (query, key), value, last = scores.inputs, found[0].inputs[1], len(scores.shape) - 1
        pairs = by_head(query, last)
        values = by_head(value, last - 1 if found[0].transposed else last)
        turned = {key: not scores.transposed, value: found[0].transposed}
        if pairs or values:
            sideways = frozenset(name for name, is_turned in turned.items() if is_turned)
            made.append(Attention(query, key, value, sideways, pairs, values))
    return made


def narrower(
    trained: Trained,
    features: NDArray[np.float32],
    pairs: float,
    values: float,
    importance: Importance,
) -> Trained:
    """Remove the same share of every head's channels, the least important ones.

    Args:
        trained: a network with attention, on whose integers the channels are scored.
        features: network input of real audio, ``[batch, time, bands]``.
        pairs: share of the channels of queries and keys.
        values: share of those of values.
        importance: "attention" (`pair_scores`, `value_scores`), "magnitude" of all weights tied to
            a channel, or "random".
    """
    chosen: dict[str, UnitOf] = {}
    energies = _energies(trained)
    random = np.random.default_rng(SEED)
    for attention in attentions(trained.graph):
        measured = _measured(trained, attention, features) if importance == "attention" else None
        for kind, heads, share in ((0, attention.pairs, pairs), (1, attention.values, values)):
            if not share:
                continue
            for head, group in enumerate(heads):
                if measured is not None:
                    scores = measured[kind][head]
                elif importance == "magnitude":
                    scores = energies[group.name]
                else:
                    scores = random.random(group.units)
                count = round((1 - share) * group.units)
                chosen[group.name] = best(scores, count, len(heads))
    return keep_units(trained, chosen)


def fewer_heads(trained: Trained, share: float) -> Trained:
    """Remove a share of every attention's heads, those of least energy of all their weights."""
    energies = _energies(trained)
    chosen: dict[str, UnitOf] = {}
    for attention in attentions(trained.graph):
        heads = list(zip(attention.pairs, attention.values, strict=True))
        sizes = [sum(energies[group.name].sum() for group in head) for head in heads]
        gone = min(round(share * len(heads)), len(heads) - 1)
        for head in np.argsort(sizes, kind="stable")[:gone]:
            chosen |= {group.name: np.array([], np.int64) for group in heads[head]}
    return keep_units(trained, chosen)


def pair_scores(query: Array, key: Array) -> Array:
    """What the attention scores lose with each of their terms, ``[heads, channels]``.

    Scores are the sum over channels of ``q_j k_j'``. A term counts by how far it reaches along the
    directions that hold `ENERGY` of the scores: ``sum_i sigma_i |u_i . q_j| |v_i . k_j|``.

    Args:
        query: ``[frames, heads, tokens, channels]``.
        key: the same of the tokens attended to.
    """
    left, sigma, right = np.linalg.svd(query @ key.swapaxes(-1, -2), full_matrices=False)
    energy = np.cumsum(sigma**2, axis=-1)
    leading = energy - sigma**2 < ENERGY * energy[..., -1:]
    reach = np.abs(left.swapaxes(-1, -2) @ query) * np.abs(right @ key)
    scores: Array = ((sigma * leading)[..., None] * reach).sum(axis=-2).mean(axis=0)
    return scores


def value_scores(value: Array) -> Array:
    """How unlike its likest of another head each channel is, ``[heads, channels]``.

    One minus the largest ``|cos|``; with one head, among the channels of that.

    Args:
        value: ``[frames, heads, tokens, channels]``.
    """
    heads, channels = value.shape[1], value.shape[3]
    rows = np.moveaxis(value, (1, 3), (0, 1)).reshape(heads * channels, -1)
    rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), np.finfo(float).tiny)
    head = np.repeat(np.arange(heads), channels)
    own = head[:, None] == head if heads > 1 else np.eye(channels, dtype=bool)
    likest = np.where(own, 0.0, np.abs(rows @ rows.T)).max(axis=1)
    return np.asarray(1 - likest).reshape(heads, channels)


def _measured(
    trained: Trained, attention: Attention, features: NDArray[np.float32]
) -> tuple[Array, Array]:
    names = (attention.query, attention.key, attention.value)
    seen = trained.build().observe(features, names)

    def frames(name: str) -> Array:
        shape = trained.graph[name].shape
        every = seen[name].numpy().reshape(-1, *(1,) * (3 - len(shape)), *shape)
        some = every[np.linspace(0, len(every) - 1, min(FRAMES, len(every))).astype(int)]
        return (some.swapaxes(-1, -2) if name in attention.turned else some).astype(np.float64)

    query, key, value = (frames(name) for name in names)
    return pair_scores(query, key), value_scores(value)


def _energies(trained: Trained) -> dict[str, Array]:
    squares = {
        name: np.square(trained.arrays[f"{name}/kernel"] * trained.arrays[f"{name}/mask"])
        for name in trained.graph.matrices()
    }
    return UnitStructure(trained.graph.matrices(), groups(trained.graph)).sums(squares)


def best(scores: Array, count: float, heads: int) -> UnitOf:
    """The units of largest score, ascending.

    About `count` of them: of all heads together the nearest multiple of eight.
    """
    multiple = UNIT_MULTIPLE // math.gcd(UNIT_MULTIPLE, heads)
    kept = min(scores.size, multiple * max(1, round(count / multiple)))
    return np.sort(np.argsort(-scores, kind="stable")[:kept])
