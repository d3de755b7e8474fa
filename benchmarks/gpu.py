"""Time the library on a GPU against what else computes the same, and the GPU's limits.

    python benchmarks/gpu.py --results benchmarks/results     everything, some minutes
    python benchmarks/gpu.py --quick                          some of it, in a hurry
    python benchmarks/gpu.py --only losses                    some functions
    python benchmarks/gpu.py --only affine --sizes 1000,569,30    (sets, samples, features)
    python benchmarks/gpu.py --seconds 100 --contenders fill copy    what can be in so many seconds

CuPy must be there, and a GPU; of the other libraries (PyTorch, JAX) those take part that are there
and see the GPU. A full run, or one with --results, writes a JSON file with all medians and
quartiles, after each task anew.

Events on the stream that a library uses tell what its calls took; JAX's are timed from outside,
until the last of a number of them is done, so that small ones have the host's time in them. What
the host takes for a call, no matter how long the GPU works, is `--only host`.
"""

from command import main

if __name__ == "__main__":
    main("gpu", __doc__)
