"""The CPU engine. Nothing is imported here: Numba is loaded on first use."""
