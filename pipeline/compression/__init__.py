"""Pruning learned together with integer weights: a criterion, a schedule, and what joins them."""
