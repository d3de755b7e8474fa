"""Time the library on a GPU against what else computes the same, and the GPU's limits.

    python benchmarks/gpu.py --results benchmarks/results     everything, some minutes
    python benchmarks/gpu.py --quick                          some of it, in a hurry
    python benchmarks/gpu.py --only losses                    some functions
    python benchmarks/gpu.py --only affine --sizes 1000,569,30    (sets, samples, features)
    python benchmarks/gpu.py --seconds 100 --contenders fill      what can be in so many seconds

It needs CuPy and a GPU; PyTorch and JAX take part if they are installed and see the GPU. A full
run, or one with --results, writes a JSON file with all medians and quartiles, after each task anew.

Times of calls are the GPU's, between events on the stream that a library uses; JAX's are taken from
outside, until the last of a number of calls is done, so that small ones have the host's time in
them. The column "host" is the time that the host takes to queue a call.
"""

from command import main

if __name__ == "__main__":
    main("gpu", __doc__)
