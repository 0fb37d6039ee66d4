"""Lowering of trained networks to integer graphs the Ethos-U runs fast."""
