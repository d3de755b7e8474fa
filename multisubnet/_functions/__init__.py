"""What users call: docstring, checks, one call inward."""
