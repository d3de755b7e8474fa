"""The CPU engine. Nothing is imported here: Numba is loaded only if it is used."""
