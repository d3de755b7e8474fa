"""How much memory there is, chunks that fit it, mapped pages, progress."""
