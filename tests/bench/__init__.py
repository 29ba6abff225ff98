"""Measures the server at scale, side by side with a mirror of the API: `python -m tests.bench`."""
