"""Available memory, chunks that fit in it, mapped pages, and progress."""
