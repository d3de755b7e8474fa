"""Which backend does the work, and the backends."""
