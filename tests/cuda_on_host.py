"""A backend for the tests: the CUDA sources, compiled for the CPU by g++.

The .cu files and the launch geometry are the same as on a GPU, so a machine without one tests the
kernels' indexing and arithmetic. MULTISUBNET_TEST_HOST_BUILD=optimized lets the compiler reorder
and contract as far as its flags allow; =sanitized checks every memory access and undefined
operation, and the process then needs libasan preloaded.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import os
import re
import shutil
import subprocess
import threading
from pathlib import Path
from unittest import mock

import numpy as np

from multisubnet._arithmetic.summands import OPERANDS
from multisubnet._backends.cupy import engine, sources
from multisubnet._backends.cupy.closed_form import Fused
from multisubnet._backends.cupy.launch import geometry
from multisubnet._backends.cupy.launch import operands as _operands
from multisubnet._backends.cupy.launch.affine import kernels, plan_affine, plan_affine_select
from multisubnet._backends.cupy.launch.sums import plan_finish, plan_sums
from multisubnet._backends.cupy.network_sums import NetworkSums
from multisubnet._backends.cupy.networks import Networks

ARRAYS = "numpy"
BUILDS = {  # compiling takes longer than running
    "plain": ["-O0", "-march=native"],
    "optimized": ["-O1", "-march=native"],
    "sanitized": ["-O0", "-g1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"],
}
_FLAGS = ["-std=c++17", "-shared", "-fPIC", "-ffp-contract=off", "-fno-strict-aliasing"]
_WARNINGS = ["-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas", "-Wno-unused-function"]
_HERE = Path(__file__).parent

# As on an H100.
CARD = geometry.Card(multiprocessors=132, threads=2048)

serves = _operands.serves
launches = 0


@contextlib.contextmanager
def on_card(card):
    """Plan launches for another card, here and on a GPU."""
    with (
        mock.patch.dict(globals(), CARD=card),
        mock.patch.object(engine, "_card", return_value=card),
        mock.patch.object(engine, "_planned", engine._planned.__wrapped__),
    ):
        yield


def why_unavailable() -> str | None:
    return None if shutil.which("g++") else "there is no g++"


empty = np.empty


def affine(call, out):
    if not out.size:
        return
    samples, weight, bias, dtype, activation, _ = call
    result = out if _is_plain(out) else np.empty(out.shape, out.dtype.newbyteorder("="))
    operands = [x if x is None or _is_plain(x) else _plain(x) for x in (samples, weight, bias)]
    launch = plan_affine(*operands, result, dtype, activation, CARD, address)
    run(launch, _kernels_of_dtype(launch.kernel, activation))
    if result is not out:
        out[...] = result


def affine_select(call, set_index, out):
    if not out.size:
        return
    samples, weight, bias, dtype, activation, (n_sets, _, _) = call
    result = out if _is_plain(out) else np.empty(out.shape, out.dtype.newbyteorder("="))
    operands = [
        x if x is None or _is_plain(x) else _plain(x) for x in (samples, weight, bias, set_index)
    ]
    launch = plan_affine_select(*operands, result, dtype, activation, n_sets, CARD, address)
    run(launch, _kernels_of_dtype(launch.kernel, activation))
    if result is not out:
        out[...] = result


def _kernels_of_dtype(kernel, activation):
    """Return the instances of a kernel's template for its dtype, to compile together."""
    name, type_name = re.match(r"(\w+)<(\w+)", kernel).groups()
    key = "linear" if activation is None else activation.key
    return tuple(x for x in kernels(name, key) if x.startswith(f"{name}<{type_name},"))


def sums(terms, operands, dtype, parameter, length, totals):
    given = (operands.get(name) for name in OPERANDS)
    arrays = [x if x is None or _is_plain(x) else _plain(x) for x in given]
    run(plan_sums(*arrays, totals, terms, dtype, parameter, length, CARD, address))


def finish(totals, out, divisor, divisor_array):
    if not out.size:
        return
    if out.ndim == 1 and len(totals) > 1:
        run(plan_finish(totals, totals[0], None, 1.0, CARD, address))
        totals = totals[:1]
    run(plan_finish(totals, out, divisor_array, divisor, CARD, address))


def _run_planned(plan, arrays, *what):
    arrays = [x if x is None or _is_plain(x) else _plain(x) for x in arrays]
    run(plan(*arrays, *what, CARD, address))


closed_form = Fused(_run_planned)
_networks = Networks(_run_planned, empty, np.asarray)
_network_sums = NetworkSums(_run_planned, empty, np.asarray)


def mlp(call, out):
    _write_networks(_networks.mlp, call, out)


def mlp_select(call, set_index, out):
    _write_networks(_networks.mlp_select, call, set_index, out)


def _write_networks(write, call, *arrays):
    *others, out = arrays
    result = out if _is_plain(out) else np.empty(out.shape, out.dtype.newbyteorder("="))
    call = call.with_arrays(lambda x: x if _is_plain(x) else _plain(x))
    write(call, *others, result)
    if result is not out:
        out[...] = result


def mlp_sums(sums, totals):
    _network_sums.mlp_sums(sums.with_arrays(lambda x: x if _is_plain(x) else _plain(x)), totals)


def mlp_sample_sums(sums, totals):
    sums = sums.with_arrays(lambda x: x if _is_plain(x) else _plain(x))
    _network_sums.mlp_sample_sums(sums, totals)


def mlp_output_loss(sums, predictions, loss, slopes):
    sums = sums.with_arrays(lambda x: x if _is_plain(x) else _plain(x))
    _network_sums.mlp_output_loss(sums, predictions, loss, slopes)


def address(array):
    return array.__array_interface__["data"][0]


def run(launch, kernels=None, first=(0, 0), last=None):
    """Run the blocks [first, last) of a launch; by default all of them.

    `kernels` are compiled together with the kernel of the launch.
    """
    global launches
    launches += 1
    dims = [Dim3(*pair) for pair in (launch.grid, first, last or launch.grid, launch.block)]
    build = os.environ.get("MULTISUBNET_TEST_HOST_BUILD", "plain")
    library = _library(kernels or (launch.kernel,), build)
    argument = bytes(launch.argument)
    status = library.run(launch.kernel.encode(), *dims, launch.shared_bytes, argument)
    assert status == 0, f"no kernel {launch.kernel}"


class Dim3(ctypes.Structure):
    _fields_ = [("x", ctypes.c_uint), ("y", ctypes.c_uint)]


def _is_plain(array):
    """Return whether the array could be on a GPU as it is."""
    places = (address(array), *array.strides)
    return array.dtype.isnative and not any(place % array.dtype.itemsize for place in places)


def _plain(array):
    return array.astype(array.dtype.newbyteorder("="))


@functools.cache
def _library(kernels, build):
    """Compile kernels of one file, or load them if already compiled."""
    name = kernels[0].split("<")[0]
    argument = name.title().replace("_", "")
    table = "\n".join(f'    {{"{kernel}", launch<{argument}, {kernel}>}},' for kernel in kernels)
    code = sources.source(name + ".cu", kernels)
    source = f"""#define WAITS {int("__syncthreads" in code)}
#include "cuda_on_host.h"
{code}
static const struct {{ const char *name; Launch *launch; }} kernels[] = {{
{table}
}};
extern "C" int run(const char *name, Dim3 grid, Dim3 first, Dim3 last, Dim3 block, size_t shared,
                   const void *argument) {{
    for (const auto &kernel : kernels)
        if (!strcmp(kernel.name, name)) {{
            kernel.launch(grid, first, last, block, shared, argument);
            return 0;
        }}
    return 1;
}}
"""
    flags = _FLAGS + _WARNINGS + BUILDS[build]
    shim = (_HERE / "cuda_on_host.h").read_text()
    digest = hashlib.sha256("\0".join([source, shim, *flags]).encode()).hexdigest()[:16]
    path = _HERE.parent / "build" / f"{name}-{build}-{digest}.so"
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}-{threading.get_ident()}")
        command = ["g++", *flags, "-I", _HERE, "-x", "c++", "-", "-o", partial]
        subprocess.run(command, input=source, text=True, check=True)
        partial.rename(path)
    library = ctypes.CDLL(str(path))
    numbers = [Dim3, Dim3, Dim3, Dim3, ctypes.c_size_t]
    library.run.argtypes = [ctypes.c_char_p, *numbers, ctypes.c_char_p]
    return library
