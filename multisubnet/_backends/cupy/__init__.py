"""The GPU backend. Nothing is imported here: CuPy is loaded on first use."""
