"""The specification of the arithmetic: recipes, the order of sums, the floating-point mode."""
