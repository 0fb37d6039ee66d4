"""When how much is removed."""

from pipeline.keras import tf


class RisingSparsity:
    """TF-MOT's cubic schedule (Zhu & Gupta, 2017) from nothing to a target that is reached.

    Args:
        sparsity: final share of groups removed.
        end_step: step at which it is reached; nothing is due afterwards.
        every_steps: steps between updates.
    """

    def __init__(self, sparsity: float, end_step: int, every_steps: int) -> None:
        # Imported here: TF-MOT takes seconds to load and only compression needs it.
        from tensorflow_model_optimization.sparsity.keras import PolynomialDecay

        self.end_step = end_step
        self._polynomial = PolynomialDecay(
            initial_sparsity=0.0,
            final_sparsity=sparsity,
            begin_step=0,
            end_step=end_step,
            frequency=every_steps,
        )

    def due(self, step: int) -> float | None:
        """Sparsity to have from this step on; None if nothing changes."""
        due, sparsity = self._polynomial(tf.constant(step, tf.int64))
        # The end need not be a whole number of periods.
        return float(sparsity) if bool(due) or step == self.end_step else None
