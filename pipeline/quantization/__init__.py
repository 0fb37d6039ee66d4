"""Numeric schemes: what a value may be at each point of the network, in training and on target."""

from pipeline.quantization.scheme import FLOAT, INT8, INT16, SCHEMES, Grid, Scheme

__all__ = ["FLOAT", "INT8", "INT16", "SCHEMES", "Grid", "Scheme"]
