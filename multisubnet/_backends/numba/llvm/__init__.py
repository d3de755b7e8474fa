"""The LLVM instructions that the loops are made of."""
