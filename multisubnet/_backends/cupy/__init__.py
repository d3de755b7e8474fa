"""The GPU backend. Nothing is imported here: CuPy is loaded only if it is used."""
