"""Synthetic voices: texts, phonemes, the synthesizer and its cache."""
