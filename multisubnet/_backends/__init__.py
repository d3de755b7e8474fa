"""The backends, and the choice between them."""
