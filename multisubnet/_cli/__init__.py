"""The command `multisubnet`."""
