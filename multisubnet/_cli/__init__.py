"""The command `multisubnet`."""

from multisubnet._cli.main import main

__all__ = ["main"]
