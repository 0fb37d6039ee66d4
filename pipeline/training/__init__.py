"""Networks that can be trained, and the loop shared by dense training and compression."""
