"""The specification: recipes, the order of sums, the floating-point mode."""
