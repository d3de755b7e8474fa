"""Time the library on the CPU against what else computes the same, and the machine's limit.

    python benchmarks/cpu.py                           everything, half an hour
    python benchmarks/cpu.py --quick                   some of it, in a hurry
    python benchmarks/cpu.py --only losses             some functions
    python benchmarks/cpu.py --only threads            by threads, pauses, and a busy process
    python benchmarks/cpu.py --only keras --keras-backend torch
    python benchmarks/cpu.py --only affine --sizes 2,2,2 64,32,16    (sets, samples, features)

A full run, or one with --results, writes a JSON file with all medians and quartiles. Networks are
in networks.py.

Where the system has huge pages for those that ask (Linux), NumPy asks for all its large arrays,
and so for ours; PyTorch and the C library, from which JAX has its memory, ask only where the
environment says so. With --huge-pages it does, and fresh results cost them several times less:
almost all of that time is the system's, which clears the pages.
"""

from command import main

if __name__ == "__main__":
    main("cpu", __doc__)
