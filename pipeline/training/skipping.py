"""Which hops are computed, where a gate of the network says how soon the next one is to be.

Skip RNN (Campos et al., ICLR 2018), as in TinyLSTMs (Fedorov et al., 2020). Shares that the gate
gives add up until they reach a half; then a hop is computed, all states move and the gate says
anew. In the hops between, states and mask stay as they are. Whether a hop is computed is known
before it has been heard, so that nothing at all need run for one that is not. Reconstructed here:
a half itself counts, shares lie on the grid of a sigmoid's output, which makes the sum exact, one
hop in `LONGEST_WAIT` is computed whatever the gate says, and a stream begins with a hop that is.

The rounding to "computed" or "not" passes its gradient straight through.
"""

from pipeline.keras import tf
from pipeline.networks.graph import LONGEST_WAIT

Values = dict[str, "tf.Tensor"]

# Entries of a stream's memory, all ``[batch, 1]`` but the mask; zeros are those of a new stream.
_REFRAINED = "gate/refrained"  # one less the share that the gate gave last
_GATHERED = "gate/gathered"  # sum of the shares since
_SKIPPED = "gate/skipped"  # hops since
_MASK = "gate/mask"
COMPUTED = "gate/computed"  # hops of the stream that were computed


def start(batch: int, bands: int) -> Values:
    """Memory of the gate at the beginning of a stream."""
    counts = (_REFRAINED, _GATHERED, _SKIPPED, COMPUTED)
    return {name: tf.zeros([batch, 1]) for name in counts} | {_MASK: tf.zeros([batch, bands])}


def skipping(
    share: "tf.Tensor", mask: "tf.Tensor", following: Values, memory: Values
) -> tuple["tf.Tensor", Values]:
    """What a hop leaves behind, whether it is computed or not.

    Args:
        share: what the gate says after this hop, ``[batch, 1]``.
        mask: of this hop.
        following: states after this hop.
        memory: before this hop; that of the gate included.

    Returns:
        The mask to apply, and the memory for the next hop.
    """
    given, gathered = 1.0 - memory[_REFRAINED], memory[_GATHERED]
    gathered = gathered + tf.minimum(given, 1.0 - gathered)
    overdue = memory[_SKIPPED] >= LONGEST_WAIT - 1
    computed = _from_a_half(gathered, overdue)

    def chosen(new: "tf.Tensor", old: "tf.Tensor") -> "tf.Tensor":
        weight = tf.reshape(computed, [-1, *[1] * (new.shape.rank - 1)])
        return weight * new + (1.0 - weight) * old

    mask = chosen(mask, memory[_MASK])
    after = {name: chosen(value, memory[name]) for name, value in following.items()}
    return mask, {
        **after,
        _REFRAINED: chosen(1.0 - share, memory[_REFRAINED]),
        _GATHERED: (1.0 - computed) * gathered,
        _SKIPPED: (1.0 - computed) * (memory[_SKIPPED] + 1.0),
        COMPUTED: memory[COMPUTED] + computed,
        _MASK: mask,
    }


def _from_a_half(gathered: "tf.Tensor", overdue: "tf.Tensor") -> "tf.Tensor":
    """1.0 where a hop is computed, 0.0 elsewhere."""

    @tf.custom_gradient
    def rounded(x: "tf.Tensor") -> tuple["tf.Tensor", object]:
        return tf.cast((x >= 0.5) | overdue, x.dtype), lambda dy: dy

    return rounded(gathered)


class UpdateCost:
    """A price on every hop that is computed; a `pipeline.training.loop.LossTerm`.

    Args:
        cost: what computing all hops adds to the loss.
        warmup_steps: over which the price rises to that; a gate that is priced before it has
            learned anything closes.
    """

    def __init__(self, cost: float, warmup_steps: int) -> None:
        self._cost, self._warmup = cost, warmup_steps
        self._price = tf.Variable(0.0, trainable=False)

    def before_step(self, step: int) -> None:
        """Raise the price."""
        self._price.assign(self._cost * min(1.0, (step + 1) / max(1, self._warmup)))

    def loss(self, before: Values, after: Values, hops: "tf.Tensor") -> "tf.Tensor":
        """The price of the hops computed, from memories before and after them."""
        share = (after[COMPUTED] - before[COMPUTED]) / tf.cast(hops, tf.float32)
        return self._price * tf.reduce_mean(share)
