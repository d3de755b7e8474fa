"""The public functions: each has its docstring, checks its operands and makes one call inward."""
