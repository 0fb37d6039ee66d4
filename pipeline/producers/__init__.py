"""Ways to make an integer TFLite model that this package did not train bit for bit."""
