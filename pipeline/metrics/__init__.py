"""Objective speech quality, and public enhancers measured on the same files for comparison."""
