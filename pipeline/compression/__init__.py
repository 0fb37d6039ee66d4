"""Pruning learned together with integer weights: criterion, schedule and the pruner that joins them."""
