"""Training of a dense network on a GPU: mixtures, features, network and loss as one JAX program.

A start for the `train` stage, which keeps the exact view that everything after it is measured
against. Nothing here quantizes or prunes. Every part has its counterpart in numpy or Keras, and a
test that holds it to that.
"""
