"""Networks as values: definitions, the trained file, what stands and falls together.

A network is one module: settings whose `define` gives the graph of a hop. It is listed here and
nowhere else.
"""

from pipeline.networks.tinylstms import TinyLSTMs

Network = TinyLSTMs
DEFAULT_NETWORK = TinyLSTMs()
