"""Boards that run the firmware, emulated or not, and what goes to them and comes back."""
