"""Whose arrays they are, of which dtype, and whether they are valid."""
