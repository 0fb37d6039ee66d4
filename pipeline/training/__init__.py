"""Training loop shared by dense training and compression."""
