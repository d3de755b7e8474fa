"""With this folder on PYTHONPATH, each Python process has the simulated CuPy for CuPy."""

import simcupy

simcupy.install()
