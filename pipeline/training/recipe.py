"""What every way to train a network has in common."""

GRADIENT_NORM_LIMIT = 5.0
# Of the running moments of batch normalization.
NORM_MOMENTUM = 0.99
# Share of the crops that begin in the memory that another crop has left behind, as every moment of
# a long stream does; the others begin as a stream does.
CONTINUED_SHARE = 0.5
# Floor of the error relative to the noisy input: stops a nearly clean crop (30 dB) from ruling
# the batch, and gives a silent target a finite loss.
ERROR_FLOOR = 1e-3
