"""Gradual pruning during int8 training."""

from pipeline.compression.criterion import magnitude, masks_for
from pipeline.keras import tf
from pipeline.models.masknet import MaskNet


class GradualPruner:
    """Raises sparsity along TF-MOT's cubic schedule (Zhu & Gupta, 2017), whole network at once.

    Args:
        model: its matrices' masks are set.
        sparsity: final share of weights removed.
        end_step: step at which it is reached; afterwards the masks rest and the network recovers.
        every_steps: steps between updates.
    """

    def __init__(self, model: MaskNet, sparsity: float, end_step: int, every_steps: int) -> None:
        # Imported here: TF-MOT takes seconds to load and only compression needs it.
        from tensorflow_model_optimization.sparsity.keras import PolynomialDecay

        self._model = model
        self._sparsity, self._end_step = sparsity, end_step
        self._schedule = PolynomialDecay(
            initial_sparsity=0.0,
            final_sparsity=sparsity,
            begin_step=0,
            end_step=end_step,
            frequency=every_steps,
        )

    def before_step(self, step: int) -> None:
        """Update the masks if the schedule says so."""
        due, sparsity = self._schedule(tf.constant(step, tf.int64))
        # The end need not be a whole number of periods, but the target has to be reached.
        if (bool(due) or step == self._end_step) and self._sparsity > 0:
            scores = {m.name: magnitude(m.kernel.numpy()) for m in self._model.matrices}
            masks = masks_for(scores, float(sparsity))
            for matrix in self._model.matrices:
                matrix.mask.assign(masks[matrix.name])


def sparsity_of(model: MaskNet) -> dict[str, float]:
    """Share of zero weights in each matrix and, as ``all``, in the network."""
    masks = {m.name: m.mask.numpy() for m in model.matrices}
    shares = {name: 1.0 - float(mask.mean()) for name, mask in masks.items()}
    kept = sum(float(mask.sum()) for mask in masks.values())
    return shares | {"all": 1.0 - kept / sum(mask.size for mask in masks.values())}
