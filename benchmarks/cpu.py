"""Time the library on the CPU against what else computes the same, and the machine's limit.

    python benchmarks/cpu.py                           everything, half an hour
    python benchmarks/cpu.py --quick                   some of it, in a hurry
    python benchmarks/cpu.py --only losses             some functions
    python benchmarks/cpu.py --only threads            by threads, pauses, and a busy process
    KERAS_BACKEND=torch python benchmarks/cpu.py --only keras
    python benchmarks/cpu.py --only affine --sizes 2,2,2 64,32,16    (sets, samples, features)

A full run, or one with --results, writes a JSON file with all medians and quartiles. Networks are
in networks.py.

On Linux, NumPy asks for huge pages for all its large arrays, and so for ours. PyTorch, and the C
library from which JAX has its memory, ask if the environment says so, and fresh results then cost
them several times less: THP_MEM_ALLOC_ENABLE=1 GLIBC_TUNABLES=glibc.malloc.hugetlb=1
"""

from command import main

if __name__ == "__main__":
    main("cpu", __doc__)
