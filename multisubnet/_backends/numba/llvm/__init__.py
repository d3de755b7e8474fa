"""The LLVM instructions that the loops consist of."""
