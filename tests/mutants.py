"""Break the code on purpose, one place at a time: the tests must see each of the breakages.

`make mutants` runs this. Each mutant is made in a copy of the tree and tested there; one that
survives says that a test is missing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent


class Mutant(NamedTuple):
    """A breakage: `old` stands once in `file`, and becomes `new`."""

    what: str
    file: str
    old: str
    new: str


MUTANTS = [
    Mutant(
        "CuPy's own cast",
        "multisubnet/_functions/evaluation.py",
        "backend.affine(column, one, None, result.reshape(1, -1, 1), array.dtype, None)",
        "result = array.astype(dtype)",
    ),
    Mutant(
        "warnings on import that hide the GPU",
        "multisubnet/_backends/cupy/engine.py",
        'warnings.simplefilter("default")',
        "pass",
    ),
    Mutant(
        "an index off by one",
        "cuda/affine.cu",
        "if (x >= p.n_samples * vectors) return;",
        "if (x > p.n_samples * vectors) return;",
    ),
    Mutant(
        "a forgotten tail of the grid",
        "multisubnet/_backends/cupy/launch/geometry.py",
        "grid_x = -(-across // block_x)",
        "grid_x = max(across // block_x, 1)",
    ),
    Mutant(
        "a forgotten tail of a vector",
        "multisubnet/_backends/cupy/launch/operands.py",
        " or n_features % lanes:",
        ":",
    ),
    Mutant(
        "an fma",
        "cuda/affine.cuh",
        "result.lane[i] = add(result.lane[i], bias.lane[i]);",
        """{
                if constexpr (__is_same(decltype(result.lane[0]), float32 &))
                    result.lane[i] = __builtin_fmaf(sample.lane[i], weight.lane[i], bias.lane[i]);
                else
                    result.lane[i] = add(result.lane[i], bias.lane[i]);
            }""",
    ),
    Mutant(
        "a flushed subnormal",
        "cuda/arithmetic.cuh",
        "mul(float32 a, float32 b) { return a * b; }",
        "mul(float32 a, float32 b) { return a * b < 0x1p-126f && a * b > 0 ? 0 : a * b; }",
    ),
    Mutant(
        "a conversion that flushes, on the GPU alone",
        "cuda/arithmetic.cuh",
        "cvt.f64.f32 %0, %1;",
        "cvt.ftz.f64.f32 %0, %1;",
    ),
    Mutant(
        "an operator in place of an instruction, on the GPU alone",
        "cuda/arithmetic.cuh",
        'asm("mul.rn." suffix " %0, %1, %2;" : "=" constraint(r) : constraint(a), constraint(b)); ',
        "r = a * b;",
    ),
    Mutant(
        "a 32-bit offset",
        "cuda/affine.cuh",
        "return data + n * set + b * sample + f * feature;",
        "return data + static_cast<int32>(n * set + b * sample + f * feature);",
    ),
    Mutant(
        "a 32-bit thread index",
        "cuda/affine.cu",
        "const int64 x = static_cast<int64>(blockIdx.x) * blockDim.x + threadIdx.x;",
        "const int64 x = blockIdx.x * blockDim.x + threadIdx.x;",
    ),
    Mutant(
        "the wrong stride for set_axis=1",
        "multisubnet/_functions/affine.py",
        """    ordered = result.transpose(1, 0, 2) if set_axis else result
    if out""",
        """    ordered = result.reshape(*result.shape[1::-1], -1) if set_axis else result
    if out""",
    ),
    Mutant(
        "a missing alignment check of the address",
        "multisubnet/_backends/cupy/launch/operands.py",
        "misaligned |= start | over_sets | over_samples",
        "misaligned |= over_sets | over_samples",
    ),
    Mutant(
        "a missing alignment check of the strides",
        "multisubnet/_backends/cupy/launch/operands.py",
        "misaligned |= start | over_sets | over_samples",
        "misaligned |= start",
    ),
    Mutant(
        "a missing check that features are neighbours",
        "multisubnet/_backends/cupy/launch/operands.py",
        "if over_features != array.dtype.itemsize:",
        "if False:",
    ),
    Mutant(
        "weight and bias swapped",
        "multisubnet/_backends/cupy/launch/affine.py",
        """    arrays = {"samples": samples, "weight": weight, "bias": bias, "out": out}""",
        """    arrays = {"samples": samples, "bias": bias, "weight": weight, "out": out}""",
    ),
    Mutant(
        "samples of the first set for all sets",
        "cuda/affine.cu",
        "if (p.samples.set) sample",
        "if (false) sample",
    ),
    Mutant(
        "sets left out by the walk along y",
        "cuda/affine.cu",
        "n += static_cast<int64>(gridDim.y) * blockDim.y)",
        "n += static_cast<int64>(gridDim.y) * blockDim.y + 1)",
    ),
    Mutant(
        "no bias taken for a bias of +0.0",
        "multisubnet/_backends/numpy.py",
        "bias = None if bias is None else bias[:, None]",
        "bias = np.zeros((1, 1, 1), dtype) if bias is None else bias[:, None]",
    ),
    Mutant(
        "NumPy's own complex product, which contracts",
        "multisubnet/_backends/numpy.py",
        "    re = a.real * b.real - a.imag * b.imag\n    im = a.real * b.imag + a.imag * b.real\n",
        "    product = a * b\n    re, im = product.real, product.imag\n",
    ),
    Mutant(
        "operands promoted in pairs",
        "multisubnet/_backends/numpy.py",
        "np.multiply(samples, weight, result, dtype=dtype)",
        "np.multiply(samples, weight, result)",
    ),
    Mutant(
        "a product rounded to the dtype of out",
        "multisubnet/_backends/numpy.py",
        "result = out if out.dtype is dtype or out.dtype == dtype else np.empty(out.shape, dtype)",
        "result = out",
    ),
    Mutant(
        "blocks that leave a row out",
        "multisubnet/_backends/numpy.py",
        "slice(i, i + steps[axis])",
        "slice(i, max(i + steps[axis] - 1, 1))",
    ),
    Mutant(
        "floating-point warnings",
        "multisubnet/_arithmetic/float_mode.py",
        '_QUIET.run(np.seterr, all="ignore")',
        "",
    ),
    Mutant(
        "subnormals flushed with the calling thread",
        "multisubnet/_functions/affine.py",
        "if SMALLEST * ONE == 0.0:",
        "if False:",
    ),
    Mutant(
        "out written while an operand is still read",
        "multisubnet/_arrays/validation.py",
        "return array.copy() if np.shares_memory(",
        "return array if np.shares_memory(",
    ),
    Mutant(
        "weight or bias taken for the samples that out may lie over",
        "multisubnet/_arrays/validation.py",
        "None if x is None else apart(out, x) for x in others",
        "x if x is None or _is_same(x, out[:, 0]) else apart(out, x) for x in others",
    ),
    Mutant(
        "blocks over a part of the features",
        "multisubnet/_backends/numpy.py",
        "starts = [range(0, shape[axis], steps[axis]) for axis in outermost_first]",
        "starts = [range(0, shape[axis], steps[axis]) for axis in outermost_first[:-1]] + [[0]]",
    ),
    Mutant(
        "out written though it has another shape",
        "multisubnet/_arrays/validation.py",
        "if out.shape != shape:",
        "if out.size != np.prod(shape):",
    ),
    Mutant(
        "float16 rounded down",
        "cuda/arithmetic.cuh",
        "__builtin_rint(",
        "__builtin_floor(",
    ),
    Mutant(
        "a large float16 that is not infinite",
        "cuda/arithmetic.cuh",
        "if (magnitude >= 65520.0)",
        "if (magnitude >= 1e6)",
    ),
    Mutant(
        "bfloat16 rounded half up",
        "cuda/arithmetic.cuh",
        "all + 0x7fffu + (all >> 16 & 1u)",
        "all + 0x8000u",
    ),
    Mutant(
        "float64 rounded to bfloat16 twice",
        "cuda/arithmetic.cuh",
        "(bits(narrow) - (rounded > magnitude)) | 1u",
        "bits(narrow)",
    ),
    Mutant(
        "what a large integer has below bfloat16 forgotten",
        "cuda/arithmetic.cuh",
        "left_over ? 0x1000u : 0u",
        "0u",
    ),
    Mutant(
        "float64 rounded to bfloat16 twice by NumPy",
        "multisubnet/_arrays/dtypes.py",
        "(toward_zero | inexact)",
        "bits",
    ),
    Mutant(
        "bfloat16 taken for float16 where integers are there",
        "multisubnet/_arrays/dtypes.py",
        "if all(dtype.itemsize == 1 for dtype in others):",
        "if all(dtype.itemsize <= 2 for dtype in others):",
    ),
    Mutant(
        "64-bit integers computed in 32 bits",
        "cuda/arithmetic.cuh",
        "template <> struct wrapping<8> { typedef uint64 type; };",
        "template <> struct wrapping<8> { typedef uint32 type; };",
    ),
    Mutant(
        "bool added without a carry",
        "cuda/arithmetic.cuh",
        "static_cast<uint8>(a.byte || b.byte)",
        "static_cast<uint8>(a.byte ^ b.byte)",
    ),
    Mutant(
        "dtype codes in another order than the kernel's",
        "multisubnet/_backends/cupy/launch/operands.py",
        """    "h": "int16",
    "H": "uint16",""",
        """    "H": "uint16",
    "h": "int16",""",
    ),
    Mutant(
        "an fma in the CPU engine",
        "multisubnet/_backends/numba/llvm/affine_row.py",
        "product = builder.fmul(x, y)\n        return product if z is None "
        "else builder.fadd(product, z)",
        'product = builder.fmul(x, y, flags=["contract"])\n        return product if z is None '
        'else builder.fadd(product, z, flags=["contract"])',
    ),
    Mutant(
        "a forgotten part of a row's tail",
        "multisubnet/_backends/numba/llvm/affine_row.py",
        "n = lanes // 2\n",
        "n = lanes // 4\n",
    ),
    Mutant(
        "a line of the result streamed whole though another wrote its beginning",
        "multisubnet/_backends/numba/affine_loops.py",
        "if start == 0 and stop == LINE:",
        "if stop == LINE:",
    ),
    Mutant(
        "the last part of a line not written",
        "multisubnet/_backends/numba/affine_loops.py",
        "            _put(line, address, begun, filled)\n            fence()",
        "            fence()",
    ),
    Mutant(
        "a tile begun anew where it goes on",
        "multisubnet/_backends/numba/affine_loops.py",
        "phase -= period_bytes",
        "phase = 0",
    ),
    Mutant(
        "a tile of one short run too many",
        "multisubnet/_backends/numba/affine_loops.py",
        "runs_at_once = min(last - first, _TILE // run_bytes)",
        "runs_at_once = min(last - first, _TILE // run_bytes) + 1",
    ),
    Mutant(
        "a tile that is not filled for the next set",
        "multisubnet/_backends/numba/affine_loops.py",
        "if in_third_tile != third_row:",
        "if in_third_tile == -1:",
    ),
    Mutant(
        "a shared bias taken for one of each set",
        "multisubnet/_backends/numba/affine_loops.py",
        "third_step = 0 if bias.shape[0] == 1 or not sets_first else row_bytes",
        "third_step = 0 if not sets_first else row_bytes",
    ),
    Mutant(
        "samples of the first set for all sets, on the CPU",
        "multisubnet/_backends/numba/affine_loops.py",
        "flat_step = 0 if samples.shape[0] == out.shape[1] else run_bytes",
        "flat_step = 0",
    ),
    Mutant(
        "pieces that leave the last elements out",
        "multisubnet/_backends/numba/engine.py",
        "for start in range(0, run, length):",
        "for start in range(0, max(run - length, 1), length):",
    ),
    Mutant(
        "another byte order given to compiled code",
        "multisubnet/_backends/numba/engine.py",
        "and samples.dtype is weight.dtype is third.dtype is out.dtype",
        "and samples.dtype.kind == weight.dtype.kind == third.dtype.kind == out.dtype.kind",
    ),
    Mutant(
        "a caller that does not wait for the other threads",
        "multisubnet/_backends/numba/threads.py",
        """        while self._is_open or self._helpers[0]:
            try:
                with self._changing:
                    self._is_open = False
                self._wait()
""",
        """        while self._is_open:
            try:
                with self._changing:
                    self._is_open = False
""",
    ),
    Mutant(
        "an interrupt as the caller begins to wait",
        "multisubnet/_backends/numba/threads.py",
        """        finally:  # an interrupt can end the first attempt, even before its first line
            job.close()
""",
        """        finally:
            pass
""",
    ),
    Mutant(
        "an error in another thread that is lost",
        "multisubnet/_backends/numba/threads.py",
        "        raise job.error",
        "        pass",
    ),
    Mutant(
        "Numba loaded for a small call",
        "multisubnet/_backends/numba/engine.py",
        "if size < _WORTH_COUNTING or dtype.char not in _DTYPES:",
        "if dtype.char not in _DTYPES:",
    ),
    Mutant(
        "a cache of compiled code that does not notice a change",
        "multisubnet/_backends/numba/jit.py",
        "file.read_bytes() for file in FILES",
        "file.name.encode() for file in FILES",
    ),
    Mutant(
        "a recipe contracted to fma by the CPU engine",
        "multisubnet/_backends/numba/llvm/programs.py",
        """        ("add", "real"): builder.fadd,
        ("subtract", "real"): builder.fsub,
        ("multiply", "real"): builder.fmul,""",
        """        ("add", "real"): lambda a, b: builder.fadd(a, b, flags=("contract",)),
        ("subtract", "real"): builder.fsub,
        ("multiply", "real"): lambda a, b: builder.fmul(a, b, flags=("contract",)),""",
    ),
    Mutant(
        "a rest of a row that is given to a recipe in the wrong order",
        "multisubnet/_backends/numba/llvm/affine_row.py",
        "which = [min(i, count) for i in range(n)]",
        "which = [min(i + 1, count) for i in range(n)]",
    ),
    Mutant(
        "an integer compared as unsigned",
        "multisubnet/_backends/numba/llvm/programs.py",
        'signed = program.dtype.kind == "i"',
        "signed = False",
    ),
    Mutant(
        "a division that is approximate, on the GPU alone",
        "cuda/arithmetic.cuh",
        'asm("div.rn." suffix " %0, %1, %2;" : "=" constraint(r) : constraint(a), constraint(b)); ',
        "r = __fdividef(float(a), float(b));",
    ),
    Mutant(
        "a comparison that flushes, on the GPU alone",
        "cuda/arithmetic.cuh",
        'COMPARED(less, "lt", float32, "f32", "f")',
        'COMPARED(less, "lt.ftz", float32, "f32", "f")',
    ),
    Mutant(
        "a float16 that is rounded twice",
        "multisubnet/_arithmetic/activation.py",
        'np.dtype(np.float32) if dtype.char in "eE" else dtype',
        'np.dtype(np.float64) if dtype.char in "eE" else dtype',
    ),
    Mutant(
        "integers that wrap before an activation",
        "multisubnet/_arithmetic/activation.py",
        "dtype = np.result_type(dtype, np.float16)",
        "dtype = np.result_type(dtype, np.float32)",
    ),
    Mutant(
        "a low word that is lost",
        "multisubnet/_arithmetic/elementary.py",
        "return word + (t_low - word * (d_low + t_low)) * (0.5 - 0.5 * word)",
        "return word",
    ),
    Mutant(
        "an activation forgotten in a thread that flushes",
        "multisubnet/_functions/affine.py",
        "return affine(samples, weight, bias, activation=activation, set_axis=set_axis, out=out)",
        "return affine(samples, weight, bias, set_axis=set_axis, out=out)",
    ),
    Mutant(
        "a negative zero taken for no parameter",
        "multisubnet/_arithmetic/activation.py",
        "return 0.0 if self.parameter is None else self.parameter",
        "return self.parameter or 0.0",
    ),
    Mutant(
        "an index of the set after the last one",
        "cuda/affine_select.cu",
        "if (n < 0 || n >= p.n_sets) {",
        "if (n < 0 || n > p.n_sets) {",
    ),
    Mutant(
        "a row of a tile that is the one before",
        "multisubnet/_backends/numba/affine_loops.py",
        "n = set_index[b + i]",
        "n = set_index[b + max(i - 1, 0)]",
    ),
    Mutant(
        "a value that is still needed",
        "multisubnet/_backends/programs.py",
        "                if program.last_uses[i] == number:",
        "                if program.last_uses[i] >= number:",
    ),
    Mutant(
        "a parameter that is forgotten",
        "multisubnet/_backends/numba/engine.py",
        "        return _with_parameter(evaluate, activation.parameter)",
        "        return _with_parameter(evaluate, 1.0)",
    ),
    Mutant(
        "runs of another length, on the GPU",
        "cuda/sums.cu",
        "RUN = 32, BLOCK = 4096;",
        "RUN = 64, BLOCK = 4096;",
    ),
    Mutant(
        "the first block summed up for all",
        "cuda/sums.cu",
        "const int64 begin = block * BLOCK;",
        "const int64 begin = 0;",
    ),
    Mutant(
        "a kept index after the last one that is read",
        "cuda/sums.cu",
        "        if (n[row] >= p.n_kept) n[row] = p.n_kept - 1;\n",
        "",
    ),
    Mutant(
        "vectors that begin where memory is not aligned",
        "cuda/affine_runs.cu",
        "static_cast<int64>(-start % SECTOR / sizeof(T))",
        "static_cast<int64>(start % SECTOR / sizeof(T))",
    ),
    Mutant(
        "elements after the last vector that are taken for others",
        "cuda/affine_runs.cu",
        "e += head + n_whole * LANES - (2 * LANES - 1);",
        "e += n_whole * LANES - (2 * LANES - 1);",
    ),
    Mutant(
        "the samples of the next row for those of the next period",
        "cuda/affine_runs.cu",
        "place.row + r * p.rows_of_period",
        "place.row + r",
    ),
    Mutant(
        "rows written where there are none",
        "cuda/affine_runs.cu",
        "count += first + r * p.period < n_whole;",
        "count += first < n_whole;",
    ),
    Mutant(
        "a walk over runs that are not aligned alike",
        "multisubnet/_backends/cupy/launch/geometry.py",
        "multiple = max(multiple // block_y, 1)",
        "multiple = 1",
    ),
    Mutant(
        "no bias taken for a bias of +0.0, in runs",
        "cuda/affine.cuh",
        "DEVICE float32 value() { return -0.0f; }",
        "DEVICE float32 value() { return 0.0f; }",
    ),
    Mutant(
        "weights read in vectors that are not aligned",
        "multisubnet/_backends/cupy/launch/affine.py",
        "wide = wide and (start | over_runs) % VECTOR_BYTES == 0",
        "wide = wide and start % VECTOR_BYTES == 0",
    ),
    Mutant(
        "kept indices left out that do not fill a thread",
        "multisubnet/_backends/cupy/launch/sums.py",
        "plan_sums_grid(-(-n_kept // rows) * n_features, n_blocks, length, card)",
        "plan_sums_grid(max(n_kept // rows, 1) * n_features, n_blocks, length, card)",
    ),
    Mutant(
        "a 32-bit thread index of sums",
        "cuda/sums.cu",
        "int64 x = static_cast<int64>(blockIdx.x) * blockDim.x + threadIdx.x;",
        "int64 x = blockIdx.x * blockDim.x + threadIdx.x;",
    ),
    Mutant(
        "a last tile of features that is as wide as the others",
        "cuda/sums.cu",
        "p.n_features - tile * TILE < TILE ? p.n_features - tile * TILE : TILE;",
        "p.n_features < TILE ? p.n_features : TILE;",
    ),
    Mutant(
        "a tile of features that begins anew",
        "cuda/sums.cu",
        "    x -= tile * n_groups * TILE;\n",
        "",
    ),
    Mutant(
        "each row at the first one's place",
        "cuda/sums.cu",
        "Memory::load({at[row], 0,",
        "Memory::load({at[0], 0,",
    ),
    Mutant(
        "rows of the selection a period too near",
        "multisubnet/_backends/cupy/launch/affine.py",
        "sizes = n_sets, n_samples, n_features, period, period * lanes // n_features, n_vectors",
        "sizes = n_sets, n_samples, n_features, period, period // n_features, n_vectors",
    ),
    Mutant(
        "a set of the row before",
        "cuda/affine_select_runs.cu",
        "part && at.feature ? sets[r][part - 1] : set_of(p, at.row);",
        "part ? sets[r][part - 1] : set_of(p, at.row);",
    ),
    Mutant(
        "an index that is not signed",
        "cuda/affine_select_runs.cu",
        "if (p.set_index.dtype % 2)",
        "if (false)",
    ),
    Mutant(
        "elements at the end of a selection left out",
        "cuda/affine_select_runs.cu",
        "e += head + n_whole * LANES - (2 * LANES - 1);",
        "e += head + n_whole * LANES - (2 * LANES - 2);",
    ),
    Mutant(
        "the run of another thread",
        "cuda/sums.cu",
        "+ place + y * blockDim.x]));",
        "+ place + y]));",
    ),
    Mutant(
        "runs added up backward",
        "cuda/sums.cu",
        "for (int y = 1; y < static_cast<int>(blockDim.y); ++y)",
        "for (int y = static_cast<int>(blockDim.y) - 1; y > 0; --y)",
    ),
    Mutant(
        "a run that is read before it is there",
        "cuda/sums.cu",
        " = of_run[o][row];\n                __syncthreads();\n",
        " = of_run[o][row];\n",
    ),
    Mutant(
        "a run that is written over before it was read",
        "cuda/sums.cu",
        "            if (blockDim.y > 1) __syncthreads();\n",
        "",
    ),
    Mutant(
        "a loss that is not weighted",
        "cuda/sums.cu",
        "*terms++ = WEIGHTED ? mul(loss, factor) : loss;",
        "*terms++ = loss;",
    ),
    Mutant(
        "a weight that comes after the sample",
        "cuda/sums.cu",
        """            if (WEIGHTED) slope = mul(slope, factor);
            if constexpr (OUTPUTS & SLOPE_SAMPLE) *terms++ = mul(slope, sample);
""",
        """            if constexpr (OUTPUTS & SLOPE_SAMPLE)
                *terms++ = WEIGHTED ? mul(mul(slope, sample), factor) : mul(slope, sample);
            if (WEIGHTED) slope = mul(slope, factor);
""",
    ),
    Mutant(
        "a leaf that is not there taken for +0.0",
        "cuda/trees.cuh",
        "NOTHING = -0.0;",
        "NOTHING = 0.0;",
    ),
    Mutant(
        "a lane's sum that is read before it is there",
        "cuda/trees.cuh",
        "        __syncthreads();\n        if (lane",
        "        if (lane",
    ),
    Mutant(
        "a lane's sum that is written over before it was read",
        "cuda/trees.cuh",
        "    }\n    __syncthreads();\n    return x;",
        "    }\n    return x;",
    ),
    Mutant(
        "the sum of a tile in the place of a leaf",
        "cuda/trees.cuh",
        "store(x, n, done, f, {{result}});",
        "store(x, n, first, f, {{result}});",
    ),
    Mutant(
        "the sums of tiles that are read before they are there",
        "cuda/trees.cuh",
        "if (done && lanes > 1) __syncthreads();",
        "",
    ),
    Mutant(
        "features of a tile of the closed form that are left out",
        "cuda/judge.cu",
        "f = tile * width + e % width;",
        "f = e % width;",
    ),
    Mutant(
        "losses that are added up before they are there",
        "cuda/judge.cu",
        "    if (p.per_feature) return;\n    __syncthreads();\n",
        "    if (p.per_feature) return;\n",
    ),
    Mutant(
        "the loss of the block's first set for all",
        "cuda/judge.cu",
        "const int64 n = group * n_sets + thread / lanes;",
        "const int64 n = group * n_sets;",
    ),
    Mutant(
        "sets after those of a block left out",
        "multisubnet/_backends/cupy/launch/moments.py",
        "-(-n_sets // (threads * LEAVES // width)) * n_tiles",
        "max(n_sets // (threads * LEAVES // width), 1) * n_tiles",
    ),
    Mutant(
        "the totals of one output for another's",
        "cuda/moments.cu",
        "(p.totals, i, f, p.n_blocks,",
        "(p.totals, 0, f, p.n_blocks,",
    ),
    Mutant(
        "a slope of samples that are all the same, in kernels",
        "cuda/moments.cu",
        "equal(spread, 0.0) ? 0.0 : div(div(total[1], count), spread)",
        "div(div(total[1], count), spread)",
    ),
    Mutant(
        "samples that are not rounded to the working dtype in the closed form's kernels",
        "multisubnet/_backends/cupy/launch/moments.py",
        "    name = TYPES[dtype.char]\n    direct",
        "    name = TYPES['d']\n    direct",
    ),
    Mutant(
        "runs left over when they are divided among threads",
        "multisubnet/_backends/cupy/launch/geometry.py",
        "y = -(-runs // passes)",
        "y = runs // passes",
    ),
    Mutant(
        "a tree of halves, not of neighbours",
        "multisubnet/_backends/numpy.py",
        "pairs[::2] + pairs[1::2]",
        "pairs[: len(pairs) // 2] + pairs[len(pairs) // 2 :]",
    ),
    Mutant(
        "runs that are added up in the working dtype",
        "multisubnet/_backends/numpy.py",
        "    total = np.zeros(terms.shape[1:])\n    for run in runs:",
        "    total = np.zeros(terms.shape[1:], terms.dtype)\n    for run in runs:",
    ),
    Mutant(
        "a mean over features that is a sum, where samples are weighted",
        "multisubnet/_backends/numpy.py",
        "divisor = divisor * divisor_array[0]",
        "divisor = divisor_array[0]",
    ),
    Mutant(
        "operands of the first kept indices for the others",
        "multisubnet/_functions/summation.py",
        "x if x is None or len(x) == 1 else x[part]",
        "x if x is None or len(x) == 1 else x[: part.stop - part.start]",
    ),
    Mutant(
        "groups left out that are not four",
        "multisubnet/_backends/numba/sum_loops.py",
        "group += n_rows",
        "group += rows",
    ),
    Mutant(
        "runs cut where rows of the cache end",
        "multisubnet/_backends/numba/sum_layout.py",
        "at_once = max(_STREAMED_BYTES // row_bytes // RUN, 1) * RUN",
        "at_once = max(_STREAMED_BYTES // row_bytes, 1)",
    ),
    Mutant(
        "a row of features that begins anew only once",
        "multisubnet/_backends/numba/sum_layout.py",
        "for start in range(width, array.shape[1], width):",
        "for start in range(width, min(2 * width, array.shape[1]), width):",
    ),
    Mutant(
        "the totals of all blocks in the first one's place",
        "multisubnet/_backends/numba/sum_layout.py",
        "totals = self.totals[number, :, kept, features]",
        "totals = self.totals[0, :, kept, features]",
    ),
    Mutant(
        "a slope of samples that are all the same",
        "multisubnet/_functions/closed_form.py",
        "        slope[spread == 0.0] = 0.0\n",
        "",
    ),
    Mutant(
        "residuals of samples that are not centred",
        "multisubnet/_arithmetic/moments.py",
        "residual = (t * fit_t - mean_t) - slope * (x * fit_x - mean_x)",
        "residual = t * fit_t - slope * x * fit_x",
    ),
    Mutant(
        "a number of samples for their weights, in the closed form",
        "multisubnet/_backends/numba/moment_loops.py",
        "count = sizes[0, 0] if weighted else np.float64(n_samples)",
        "count = np.float64(n_samples)",
    ),
    Mutant(
        "weights as small as they are",
        "multisubnet/_functions/summation.py",
        "    return _wide(summing, weights) * (1.0 / power_of_two(largest))",
        "    return weights",
    ),
    Mutant(
        "a mean by weights that sum to 0, on the GPU",
        "cuda/finish.cu",
        "divisor == 0.0 ? 0.0 : total",
        "total",
    ),
    Mutant(
        "an infinite weight that makes a loss NaN",
        "multisubnet/_arithmetic/moments.py",
        "    return select(loss <= loss, loss, distance * distance + (b * b + rest))",
        "    return loss",
    ),
    Mutant(
        "signs of weights forgotten in the closed form",
        "multisubnet/_arithmetic/moments.py",
        "crossed = distance * (offset * drift - tilt) - offset * shift",
        "crossed = offset * 0.0",
    ),
    Mutant(
        "samples whose squares overflow",
        "multisubnet/_functions/closed_form.py",
        "    found = 1.0 / power_of_two(largest)",
        "    found = 0.0 * largest + 1.0",
    ),
    Mutant(
        "a variance that is never negative",
        "multisubnet/_functions/affine_stats.py",
        "(variance < 0.0) & (square >= 0.0)",
        "variance < 0.0",
    ),
    Mutant(
        "pages of a map counted as bytes of the result",
        "multisubnet/_memory/mapped.py",
        "    return -(-size // elements)",
        "    return 4",
    ),
    Mutant(
        "elements that share memory only by a stride of 0",
        "multisubnet/_arrays/validation.py",
        "    extent = itemsize\n",
        "    return False\n",
    ),
    Mutant(
        "chunks that are no nodes of the tree",
        "multisubnet/_functions/closed_form.py",
        "rows = BLOCK << (_ELEMENTS // (BLOCK * n_features)).bit_length() - 1",
        "rows = BLOCK * max(_ELEMENTS // (BLOCK * n_features), 1)",
    ),
    Mutant(
        "no bias taken for a bias of +0.0, in the closed form",
        "multisubnet/_backends/numba/engine.py",
        "np.full((1, n_features), -0.0, dtype)",
        "np.full((1, n_features), 0.0, dtype)",
    ),
    Mutant(
        "a last feature that is left out of vectors",
        "multisubnet/_backends/numba/llvm/moment_rows.py",
        """with builder.if_then(builder.icmp_signed(">", rest, INT64(0))):""",
        """with builder.if_then(builder.icmp_signed(">", rest, INT64(1))):""",
    ),
    Mutant(
        "a row for all indices taken for a row of each",
        "multisubnet/_backends/numba/sum_layout.py",
        "if rows.shape == shape and is_plain(rows, self.dtype):",
        "if rows.shape[1] == shape[1] and is_plain(rows, self.dtype):",
    ),
    Mutant(
        "totals of kept indices that do not fill their group, in the place of others",
        "multisubnet/_backends/numba/sum_layout.py",
        "in_place = n_kept % group == 0 and width == self.totals.shape[-1]",
        "in_place = n_kept % group == 0",
    ),
    Mutant(
        "neighbouring features whose sums are not neighbours",
        "multisubnet/_backends/numba/llvm/moment_rows.py",
        "list(range(k, 2 * LANES, 2))",
        "list(range(k * LANES, (k + 1) * LANES))",
    ),
    Mutant(
        "chunks of a result that do not lie whole in it",
        "multisubnet/_memory/chunks.py",
        "second = min(max(elements // n_features, 1), n_second)",
        "second = min(max(elements // n_features // 2, 1), n_second)",
    ),
    Mutant(
        "chunks as large as if no block were held",
        "multisubnet/_memory/chunks.py",
        "elements = limit // (blocks * itemsize + _VALUES * _VALUE_BYTES)",
        "elements = limit // max(blocks * itemsize, 1)",
    ),
    Mutant(
        "the first sets' weights for each chunk",
        "multisubnet/_sets/parameters.py",
        "x if x is None or len(x) == 1 else x[sets] for x",
        "x if x is None or len(x) == 1 else x[: sets.stop - sets.start] for x",
    ),
    Mutant(
        "sets taken for samples",
        "multisubnet/_sets/prediction.py",
        "return (chunk[1], chunk[0]) if self.set_axis else chunk",
        "return chunk",
    ),
    Mutant(
        "operands read after a chunk was written over them",
        "multisubnet/_sets/parameters.py",
        "samples, weight, bias = operands\n",
        "samples, weight, bias = call[:3]\n",
    ),
    Mutant(
        "mapped memory that is kept",
        "multisubnet/_sets/prediction.py",
        "        mapped.release(out[chunk])\n",
        "",
    ),
    Mutant(
        "a quantile that sees no NaN",
        "multisubnet/_sets/distribution.py",
        "found.append(np.where(np.isnan(largest), np.nan, value))",
        "found.append(value)",
    ),
    Mutant(
        "zeros of both signs put in order",
        "multisubnet/_sets/distribution.py",
        "    ordered += 0.0  #",
        "    #",
    ),
    Mutant(
        "features that are left out of statistics",
        "multisubnet/_sets/distribution.py",
        "for feature in range(0, n_features, max(features, 1)):",
        "for feature in range(0, n_features, max(n_features, 1)):",
    ),
    Mutant(
        "ties in any order",
        "multisubnet/_sets/weight_sets.py",
        'axis=0, kind="stable")[:count]',
        "axis=0)[:count] if k % 2 else np.lexsort([-np.arange(len(losses)), losses])[:count]",
    ),
    Mutant(
        "an index out of bounds on the GPU",
        "multisubnet/_sets/container.py",
        "chosen = xp.asarray(np.arange(len(self))[index])",
        "chosen = xp.asarray(np.asarray(index) % max(len(self), 1))",
    ),
    Mutant(
        "a comparison blind to the sign of zero",
        "multisubnet/testing/_same_bits.py",
        "    same = bits == wanted\n",
        "    same = actual == desired\n",
    ),
    Mutant(
        "a flipped bit that hides the rest of an archive",
        "multisubnet/_files/npy.py",
        "if name == entry.filename or entry.comment:",
        "if name == entry.filename:",
    ),
    Mutant(
        "an entry that may lie about its size",
        "multisubnet/_files/npy.py",
        "if entry.file_size > _DEFLATED * entry.compress_size:",
        "if False:",
    ),
    Mutant(
        "an array longer than its header says",
        "multisubnet/_files/npy.py",
        "if header.n_bytes != n_bytes:",
        "if header.n_bytes > n_bytes:",
    ),
    Mutant(
        "tensors without their checksum",
        "multisubnet/_files/weight_files.py",
        "if notes.pop(_CHECKSUM) != _checksum(entries, notes):",
        "if False:",
    ),
    Mutant(
        "a misspelt bias that is overlooked",
        "multisubnet/_files/weight_files.py",
        'if "weight" not in names or unknown or',
        'if "weight" not in names or',
    ),
    Mutant(
        "a temporary file that stays after a failure",
        "multisubnet/_files/atomic.py",
        "        temporary.unlink(missing_ok=True)\n",
        "        pass\n",
    ),
    Mutant(
        "bytes recorded as safe before they are on the disk",
        "multisubnet/_cli/resumable_file.py",
        """        atomic.sync(self._file.fileno())
        self.safe = self._end
        self._record.write(self.safe)
""",
        """        self.safe = self._end
        self._record.write(self.safe)
        atomic.sync(self._file.fileno())
""",
    ),
    Mutant(
        "a run gone on with at the wrong place",
        "multisubnet/_cli/resumable_file.py",
        "self._end = self._file.seek(end)",
        "self._end = self._file.seek(self.safe)",
    ),
    Mutant(
        "a chunk computed into the one that is being written",
        "multisubnet/_cli/resumable_file.py",
        "            buffers.reverse()\n",
        "",
    ),
    Mutant(
        "chunks that wait for each other to be written",
        "multisubnet/_cli/resumable_file.py",
        "pending = writer.submit(writing.append, block)",
        "(pending := writer.submit(writing.append, block)).result()",
    ),
    Mutant(
        "two runs that write one file",
        "multisubnet/_files/atomic.py",
        "fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)",
        "pass",
    ),
    Mutant(
        "a temporary file that is taken for one that was left",
        "multisubnet/_files/atomic.py",
        "                    if _has_lock(fd):\n",
        "                    if True:\n",
    ),
    Mutant(
        "a header that is read however long it says it is",
        "multisubnet/_files/npy.py",
        "if n_bytes > _LONGEST_HEADER:",
        "if False:",
    ),
    Mutant(
        "a fingerprint of the beginning alone",
        "multisubnet/_cli/resumable_file.py",
        "for start in range(0, flat.size, step):",
        "for start in range(0, min(flat.size, step), step):",
    ),
    Mutant(
        "a run gone on with for another activation",
        "multisubnet/_cli/resumable_file.py",
        '"activation": ", ".join(map(repr, parameters.activations)),',
        '"activation": None,',
    ),
    Mutant(
        "samples that stay in memory",
        "multisubnet/_sets/prediction.py",
        "yield chunk, call\n                mapped.release(call.samples)\n",
        "yield chunk, call\n",
    ),
    Mutant(
        "a limit of memory without the program itself",
        "multisubnet/_cli/commands.py",
        "held = amounts.resident() + _PROGRAM_BYTES + engine",
        "held = 0",
    ),
    Mutant(
        "a bias of networks that is added last",
        "multisubnet/_backends/numpy_mlp.py",
        """        if bias is None:
            np.multiply(h[:, 0, None], w[:, 0], z)
        else:
            z[...] = bias.transpose(1, 2, 0)[..., None]
        products = np.empty_like(z)
        for i in range(bias is None, w.shape[1]):
            np.multiply(h[:, i, None], w[:, i], products)
            np.add(z, products, z)
""",
        """        np.multiply(h[:, 0, None], w[:, 0], z)
        products = np.empty_like(z)
        for i in range(1, w.shape[1]):
            np.multiply(h[:, i, None], w[:, i], products)
            np.add(z, products, z)
        if bias is not None:
            np.add(z, bias.transpose(1, 2, 0)[..., None], z)
""",
    ),
    Mutant(
        "products of networks in another order, in NumPy",
        "multisubnet/_backends/numpy_mlp.py",
        "for i in range(bias is None, w.shape[1]):",
        "for i in reversed(range(bias is None, w.shape[1])):",
    ),
    Mutant(
        "sums over networks in the working dtype",
        "multisubnet/_backends/numpy_mlp.py",
        "total = np.zeros(out.shape)",
        "total = np.zeros(out.shape, call.working_dtype)",
    ),
    Mutant(
        "products of networks in another order, in the engine",
        "multisubnet/_backends/numba/llvm/networks.py",
        "inside = add_input(builder.add(i, INT64(step)), inside)",
        "inside = add_input(builder.add(i, INT64(_STEP - 1 - step)), inside)",
    ),
    Mutant(
        "an fma in networks",
        "multisubnet/_backends/numba/llvm/networks.py",
        """                products = [builder.fmul(h, w) for h in found]
                if sums is not None:
                    products = [
                        builder.fadd(total, product)
""",
        """                products = [builder.fmul(h, w, flags=("contract",)) for h in found]
                if sums is not None:
                    products = [
                        builder.fadd(total, product, flags=("contract",))
""",
    ),
    Mutant(
        "values of a network in the place of another unit",
        "multisubnet/_backends/numba/llvm/networks.py",
        "else k + u",
        "else k + units - 1 - u",
    ),
    Mutant(
        "the last units of a layer left out",
        "multisubnet/_backends/numba/llvm/networks.py",
        "if n_out > whole:",
        "if n_out > whole + 3:",
    ),
    Mutant(
        "another input of a network",
        "multisubnet/_backends/numba/llvm/networks.py",
        "builder.mul(builder.load(at), row)",
        "builder.mul(INT64(i), row)",
    ),
    Mutant(
        "weights of the first set for all",
        "multisubnet/_backends/numba/llvm/transposes.py",
        "step = builder.select(shared, INT64(0), strides[0])",
        "step = INT64(0)",
    ),
    Mutant(
        "sums over networks in another order",
        "multisubnet/_backends/numba/mlp_loops.py",
        "for s in range(n_subnets):",
        "for s in range(n_subnets - 1, -1, -1):",
    ),
    Mutant(
        "the first set's intercept for all",
        "multisubnet/_backends/numba/mlp_loops.py",
        "intercept[n if intercept.shape[0] > 1 else 0, p]",
        "intercept[0, p]",
    ),
    Mutant(
        "samples that are not put back in their order",
        "multisubnet/_backends/numba/mlp_engine.py",
        "values[np.argsort(order)]",
        "values[order]",
    ),
    Mutant(
        "rows of a tile left out at its end",
        "multisubnet/_backends/numba/llvm/transposes.py",
        """with cgutils.for_range(builder, count) as loop:
                                vector = builder.load(builder.gep(scratch""",
        """with cgutils.for_range(builder, builder.sub(count, INT64(1))) as loop:
                                vector = builder.load(builder.gep(scratch""",
    ),
]


# The golden bits first: they see most of the breakages, and all backends.
_TESTS = sorted(
    (str(path.relative_to(ROOT)) for path in (ROOT / "tests").glob("test_*.py")),
    key=lambda path: ("golden" not in path, path),
)
_TESTS.remove("tests/test_mutants.py")


def tested(mutant: Mutant | None) -> subprocess.CompletedProcess[str]:
    """Run the tests on a copy of the tree with one breakage."""
    with tempfile.TemporaryDirectory() as directory:
        tree = Path(directory) / "multisubnet"
        left_out = shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "__pycache__")
        shutil.copytree(ROOT, tree, ignore=left_out)
        if mutant:
            path = tree / mutant.file
            path.write_text(path.read_text().replace(mutant.old, mutant.new))
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-m"]
        return subprocess.run(
            [*command, "not gpu", *_TESTS],
            cwd=tree,
            env=os.environ | {"CI": "true", "MULTISUBNET_TEST_EXAMPLES": "100"},
            capture_output=True,
            text=True,
        )


def main() -> None:
    """Test every mutant, and say which survive."""
    whole = tested(None)
    if whole.returncode:
        raise SystemExit("the tests fail without any breakage:\n" + whole.stdout + whole.stderr)
    survivors = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for mutant, done in zip(MUTANTS, pool.map(tested, MUTANTS), strict=True):
            failures = [
                line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))
            ]
            seen = (failures or [f"the process ended with {done.returncode}"])[0][:120]
            print(
                f"{'killed  ' if done.returncode else 'SURVIVED'} {mutant.what}: {seen}", flush=True
            )
            if not done.returncode:
                survivors.append(mutant)
    print(f"{len(MUTANTS)} mutants, {len(survivors)} survived")
    if survivors:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
