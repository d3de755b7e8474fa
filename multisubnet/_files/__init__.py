"""File formats, and files that are complete or absent."""
