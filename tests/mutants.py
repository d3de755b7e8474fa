"""Break the code on purpose, one place at a time: the tests must notice each breakage.

`make mutants` runs this. Each mutant is made in a copy of the tree, and its tests run there. If it
survives, a test is missing. There are mutants for each kind of rule: the order of operations and
sums, rounding, tails, indices, barriers, cached code and plans, files that are complete or absent.
There are none for constants and texts, because those would only freeze them.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
_LONGEST = 1800  # seconds for the tests of a mutant; also detects endless waiting


class Mutant(NamedTuple):
    """A breakage: `old` occurs once in `file` and becomes `new`; `tests` notice it first."""

    what: str
    file: str
    old: str
    new: str
    tests: str


MUTANTS = [
    Mutant(
        "an index off by one",
        "cuda/affine.cu",
        "if (x >= p.n_samples * vectors) return;",
        "if (x > p.n_samples * vectors) return;",
        "test_agreement.py -k 'host and not 32_bit'",
    ),
    Mutant(
        "a forgotten tail of the grid",
        "multisubnet/_backends/cupy/launch/geometry.py",
        "grid_x = -(-across // block_x)",
        "grid_x = max(across // block_x, 1)",
        "test_launch.py -k covers_the_work",
    ),
    Mutant(
        "a forgotten tail of a vector",
        "multisubnet/_backends/cupy/launch/operands.py",
        " or n_features % lanes:",
        ":",
        "test_launch.py -k which_kernel",
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
        "test_agreement.py::test_affine -k host",
    ),
    Mutant(
        "a conversion that flushes, on the GPU alone",
        "cuda/arithmetic.cuh",
        "cvt.f64.f32 %0, %1;",
        "cvt.ftz.f64.f32 %0, %1;",
        "test_cuda_compile.py -k 'no_kernel_flushes and affine_select'",
    ),
    Mutant(
        "a 32-bit offset",
        "cuda/affine.cuh",
        "return data + n * set + b * sample + f * feature;",
        "return data + static_cast<int32>(n * set + b * sample + f * feature);",
        "test_agreement.py -k 'host and 32_bit'",
    ),
    Mutant(
        "a 32-bit thread index",
        "cuda/affine.cu",
        "const int64 x = static_cast<int64>(blockIdx.x) * blockDim.x + threadIdx.x;",
        "const int64 x = blockIdx.x * blockDim.x + threadIdx.x;",
        "test_launch.py -k threads_beyond_32_bit",
    ),
    Mutant(
        "the wrong stride for set_axis=1",
        "multisubnet/_functions/evaluation.py",
        "ordered = result.swapaxes(0, 1) if sets_second else result",
        "ordered = result.reshape(*shape[1::-1], *shape[2:]) if sets_second else result",
        "test_agreement.py -k 'numpy and not 32_bit'",
    ),
    Mutant(
        "a missing alignment check of the address",
        "multisubnet/_backends/cupy/launch/operands.py",
        "misaligned |= start | over_sets | over_samples",
        "misaligned |= over_sets | over_samples",
        "test_launch.py -k which_kernel",
    ),
    Mutant(
        "weight and bias swapped",
        "multisubnet/_backends/cupy/launch/affine.py",
        """    arrays = {"samples": samples, "weight": weight, "bias": bias, "out": out}""",
        """    arrays = {"samples": samples, "bias": bias, "weight": weight, "out": out}""",
        "test_agreement.py -k 'host and not 32_bit'",
    ),
    Mutant(
        "no bias taken for a bias of +0.0",
        "multisubnet/_backends/numpy.py",
        "bias = None if bias is None else bias[:, None]",
        "bias = np.zeros((1, 1, 1), dtype) if bias is None else bias[:, None]",
        "test_agreement.py -k 'numpy and not 32_bit'",
    ),
    Mutant(
        "NumPy's own complex product, which contracts",
        "multisubnet/_backends/numpy.py",
        "    re = a.real * b.real - a.imag * b.imag\n    im = a.real * b.imag + a.imag * b.real\n",
        "    product = a * b\n    re, im = product.real, product.imag\n",
        "test_agreement.py::test_affine -k numpy",
    ),
    Mutant(
        "blocks that leave a row out",
        "multisubnet/_backends/numpy.py",
        "slice(i, i + steps[axis])",
        "slice(i, max(i + steps[axis] - 1, 1))",
        "test_agreement.py -k 'past_every_block and numpy'",
    ),
    Mutant(
        "subnormals flushed with the calling thread",
        "multisubnet/_functions/evaluation.py",
        "if SMALLEST * ONE == 0.0:",
        "if False:",
        "test_inputs.py -k subnormals",
    ),
    Mutant(
        "out written while an operand is still read",
        "multisubnet/_arrays/validation.py",
        "return array.copy() if np.shares_memory(",
        "return array if np.shares_memory(",
        "test_agreement.py -k 'overlaps and numpy'",
    ),
    Mutant(
        "float16 rounded down",
        "cuda/arithmetic.cuh",
        "__builtin_rint(",
        "__builtin_floor(",
        "test_activations.py -k 'every_float16 and host and elu'",
    ),
    Mutant(
        "bfloat16 rounded half up",
        "cuda/arithmetic.cuh",
        "all + 0x7fffu + (all >> 16 & 1u)",
        "all + 0x8000u",
        "test_bfloat16.py -k 'test_affine and host'",
    ),
    Mutant(
        "float64 rounded to bfloat16 twice",
        "cuda/arithmetic.cuh",
        "(bits(narrow) - (rounded > magnitude)) | 1u",
        "bits(narrow)",
        "test_bfloat16.py -k 'other_dtypes_into_out and host or float64_is_rounded'",
    ),
    Mutant(
        "64-bit integers computed in 32 bits",
        "cuda/arithmetic.cuh",
        "template <> struct wrapping<8> { typedef uint64 type; };",
        "template <> struct wrapping<8> { typedef uint32 type; };",
        "test_agreement.py -k 'host and not 32_bit'",
    ),
    Mutant(
        "an fma in the CPU engine",
        "multisubnet/_backends/numba/llvm/affine_row.py",
        "product = builder.fmul(x, y)\n        return product if z is None "
        "else builder.fadd(product, z)",
        'product = builder.fmul(x, y, flags=["contract"])\n        return product if z is None '
        'else builder.fadd(product, z, flags=["contract"])',
        "test_numba.py -k 'machine_code_streams and linear and float32'",
    ),
    Mutant(
        "a forgotten part of a row's tail",
        "multisubnet/_backends/numba/llvm/affine_row.py",
        "n = lanes // 2\n",
        "n = lanes // 4\n",
        "test_numba.py -k every_path",
    ),
    Mutant(
        "the last part of a line not written",
        "multisubnet/_backends/numba/affine_loops.py",
        "            _put(line, address, begun, filled)\n            fence()",
        "            fence()",
        "test_numba.py -k every_place",
    ),
    Mutant(
        "a tile begun anew where it goes on",
        "multisubnet/_backends/numba/affine_loops.py",
        "phase -= period_bytes",
        "phase = 0",
        "test_numba.py -k every_path",
    ),
    Mutant(
        "pieces that leave the last elements out",
        "multisubnet/_backends/numba/engine.py",
        "n_pieces = -(-outer // height) * -(-run // length)",
        "n_pieces = -(-outer // height) * max(run // length, 1)",
        "test_numba.py -k every_path",
    ),
    Mutant(
        "another byte order given to compiled code",
        "multisubnet/_backends/numba/engine.py",
        "and samples.dtype is weight.dtype is third.dtype is out.dtype",
        "and samples.dtype.kind == weight.dtype.kind == third.dtype.kind == out.dtype.kind",
        "test_numba.py -k numba_confuses",
    ),
    Mutant(
        "a caller that does not wait for the other threads",
        "multisubnet/_backends/numba/pool.py",
        "    while load(slot + DONE) != others:",
        "    while False:",
        "test_threads.py test_numba.py -k 'interrupt or many_threads'",
    ),
    Mutant(
        "helpers that are woken for any work",
        "multisubnet/_backends/numba/sharing.py",
        "return min(sleepers, left // (2 * cost + 1))",
        "return sleepers",
        "test_sharing.py",
    ),
    Mutant(
        "waking that is never given up",
        "multisubnet/_backends/numba/pool.py",
        "_settle_waking(pool, kind, least - taken)",
        "pass",
        "test_sharing.py",
    ),
    Mutant(
        "work of two functions that is of one kind",
        "multisubnet/_backends/numba/threads.py",
        "hash((what, length, size >> length))",
        "hash((length, size >> length))",
        "test_sharing.py",
    ),
    Mutant(
        "rows that go on with the wrong feature",
        "multisubnet/_backends/numba/sum_loops.py",
        "copy(target + row_bytes, source, LINE - 4)",
        "copy(target + row_bytes, source + 4, LINE - 4)",
        "test_numba.py -k packed_rows",
    ),
    Mutant(
        "pieces of two sums that have one name",
        "multisubnet/_backends/numba/llvm/pieces.py",
        "function.__qualname__ = ",
        "_ = ",
        "test_numba.py -k told_apart",
    ),
    Mutant(
        "a cache of compiled code that does not notice a change",
        "multisubnet/_backends/numba/jit.py",
        "file.read_bytes() for file in FILES",
        "file.name.encode() for file in FILES",
        "test_numba.py -k changed_byte",
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
        "test_activations.py -k 'whole_range and numba and tanh'",
    ),
    Mutant(
        "a division that is approximate, on the GPU alone",
        "cuda/arithmetic.cuh",
        'asm("div.rn." suffix " %0, %1, %2;" : "=" constraint(r) : constraint(a), constraint(b)); ',
        "r = __fdividef(float(a), float(b));",
        "test_cuda_compile.py -k 'no_kernel_flushes and affine_select'",
    ),
    Mutant(
        "integers that wrap before an activation",
        "multisubnet/_arithmetic/activation.py",
        "dtype = np.result_type(dtype, np.float16)",
        "dtype = np.result_type(dtype, np.float32)",
        "test_activations.py -k integers_become_floats",
    ),
    Mutant(
        "a low word that is lost",
        "multisubnet/_arithmetic/elementary.py",
        "return word + (t_low - word * (d_low + t_low)) * (0.5 - word.times_exactly(0.5))",
        "return word",
        "test_elementary.py test_activations.py -k 'test_log or test_accuracy'",
    ),
    Mutant(
        "an index of the set after the last one",
        "cuda/affine_select.cu",
        "if (n < 0 || n >= p.n_sets) {",
        "if (n < 0 || n > p.n_sets) {",
        "test_select.py -k 'out_of_range_set and host'",
    ),
    Mutant(
        "runs of another length, on the GPU",
        "cuda/sums.cu",
        "RUN = 32, BLOCK = 4096;",
        "RUN = 64, BLOCK = 4096;",
        "test_losses.py -k 'test_agreement and host and huber'",
    ),
    Mutant(
        "the first block summed up for all",
        "cuda/sums.cu",
        "const int64 begin = block * BLOCK;",
        "const int64 begin = 0;",
        "test_losses.py -k 'several_blocks and host'",
    ),
    Mutant(
        "elements after the last vector that are taken for others",
        "cuda/affine_runs.cu",
        "e += head + n_whole * LANES - (2 * LANES - 1);",
        "e += n_whole * LANES - (2 * LANES - 1);",
        "test_agreement.py -k 'host and not 32_bit'",
    ),
    Mutant(
        "runs added up backward",
        "cuda/sums.cu",
        "for (int y = 1; y < static_cast<int>(blockDim.y); ++y)",
        "for (int y = static_cast<int>(blockDim.y) - 1; y > 0; --y)",
        "test_losses.py -k 'test_agreement and host and huber'",
    ),
    Mutant(
        "a run that is read before it is there",
        "cuda/sums.cu",
        " = of_run[o][row];\n                __syncthreads();\n",
        " = of_run[o][row];\n",
        "test_losses.py -k 'division_into_pieces and host'",
    ),
    Mutant(
        "a run that is written over before it was read",
        "cuda/sums.cu",
        "            if (blockDim.y > 1) __syncthreads();\n",
        "",
        "test_losses.py -k 'division_into_pieces and host'",
    ),
    Mutant(
        "a loss that is not weighted",
        "cuda/sums.cu",
        "*terms++ = WEIGHTED ? mul(loss, factor) : loss;",
        "*terms++ = loss;",
        "test_losses.py -k 'test_agreement and host and huber'",
    ),
    Mutant(
        "a leaf that is not there taken for +0.0",
        "cuda/trees.cuh",
        "NOTHING = -0.0;",
        "NOTHING = 0.0;",
        "test_launch.py -k 'finish_is_the_tree'",
    ),
    Mutant(
        "the sums of tiles that are read before they are there",
        "cuda/trees.cuh",
        "if (done && lanes > 1) __syncthreads();",
        "",
        "test_launch.py -k lanes_wait",
    ),
    Mutant(
        "losses that are added up before they are there",
        "cuda/moment_loss.cu",
        "    if (p.per_feature) return;\n    __syncthreads();\n",
        "    if (p.per_feature) return;\n",
        "test_closed_form.py -k 'agreement and host'",
    ),
    Mutant(
        "a tree of halves, not of neighbours",
        "multisubnet/_backends/numpy.py",
        "pairs[::2] + pairs[1::2]",
        "pairs[: len(pairs) // 2] + pairs[len(pairs) // 2 :]",
        "test_launch.py -k finish_is_the_tree",
    ),
    Mutant(
        "runs that are added up in the working dtype",
        "multisubnet/_backends/numpy.py",
        "    total = np.zeros(terms.shape[1:])\n    for run in runs:",
        "    total = np.zeros(terms.shape[1:], terms.dtype)\n    for run in runs:",
        "test_losses.py -k 'test_agreement and numpy and huber'",
    ),
    Mutant(
        "the last weights, copied from the wrong set",
        "multisubnet/_backends/numba/sum_loops.py",
        "begin = (n_groups - 1) // ROWS * ROWS",
        "begin = n_groups // ROWS * ROWS",
        "test_numba.py -k last_weights",
    ),
    Mutant(
        "divided sums of another output",
        "multisubnet/_backends/numba/sum_loops.py",
        "source + 2 * of_output",
        "source + of_output",
        "test_numba.py -k divided_in_the_same_step",
    ),
    Mutant(
        "room for too few of the last weights",
        "multisubnet/_backends/numba/sum_layout.py",
        "(self.n_groups - 1) // ROWS * ROWS",
        "(self.n_groups - 1)",
        "test_numba.py -k last_weights",
    ),
    Mutant(
        "groups left out that are not four",
        "multisubnet/_backends/numba/sum_loops.py",
        "for row in range(group, end, n_rows):",
        "for row in range(group, end, ROWS):",
        "test_losses.py -k 'test_agreement and numba and huber'",
    ),
    Mutant(
        "a slope of samples that are all the same",
        "multisubnet/_functions/closed_form.py",
        "        slope[spread == 0.0] = 0.0\n",
        "",
        "test_closed_form.py -k 'feature_of_one_value and numpy'",
    ),
    Mutant(
        "residuals of samples that are not centred",
        "multisubnet/_arithmetic/moments.py",
        "residual = (t * fit_t - mean_t) - slope * (x * fit_x - mean_x)",
        "residual = t * fit_t - slope * x * fit_x",
        "test_closed_form.py -k close_to_the_exact",
    ),
    Mutant(
        "chunks that cut blocks",
        "multisubnet/_functions/closed_form.py",
        "max(len(samples), 1), n_blocks * BLOCK)",
        "max(len(samples), 1), n_blocks * BLOCK - 32)",
        "test_closed_form.py -k 'chunks_of_samples and numpy'",
    ),
    Mutant(
        "chunks of a result that do not lie whole in it",
        "multisubnet/_sets/chunks.py",
        "second = min(max(elements // n_features, 1), n_second)",
        "second = min(max(elements // n_features // 2, 1), n_second)",
        "test_predict.py -k chunks_lie_whole",
    ),
    Mutant(
        "a comparison blind to the sign of zero",
        "multisubnet/testing/_same_bits.py",
        "    same = bits == wanted\n",
        "    same = actual == desired\n",
        "test_testing.py -k differences",
    ),
    Mutant(
        "an array longer than its header says",
        "multisubnet/_files/npy.py",
        "if header.n_bytes != n_bytes:",
        "if header.n_bytes > n_bytes:",
        "test_files.py -k files_without_weight_sets",
    ),
    Mutant(
        "a temporary file that stays after a failure",
        "multisubnet/_files/atomic.py",
        "        temporary.unlink(missing_ok=True)\n",
        "        pass\n",
        "test_files.py -k a_failure_leaves",
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
        "test_predict_file.py -k recorded_bytes",
    ),
    Mutant(
        "two runs that write one file",
        "multisubnet/_files/atomic.py",
        "fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)",
        "pass",
        "test_predict_file.py -k two_runs",
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
        "test_mlp.py::test_agreement -k numpy",
    ),
    Mutant(
        "products of networks in another order, in NumPy",
        "multisubnet/_backends/numpy_mlp.py",
        "for i in range(bias is None, w.shape[1]):",
        "for i in reversed(range(bias is None, w.shape[1])):",
        "test_mlp.py::test_agreement -k numpy",
    ),
    Mutant(
        "sums over networks in the working dtype",
        "multisubnet/_backends/numpy_mlp.py",
        "total = np.zeros(out.shape)",
        "total = np.zeros(out.shape, call.working_dtype)",
        "test_mlp.py::test_agreement -k numpy",
    ),
    Mutant(
        "products of networks in another order, in the engine",
        "multisubnet/_backends/numba/llvm/layers.py",
        "inside = add_input(builder.add(i, INT64(step)), inside)",
        "inside = add_input(builder.add(i, INT64(_STEP - 1 - step)), inside)",
        "test_mlp.py::test_agreement -k numba",
    ),
    Mutant(
        "an fma in networks",
        "multisubnet/_backends/numba/llvm/networks.py",
        """                products += [builder.fmul(h, w) for h in found]
            if sums is None:
                return products
            return [builder.fadd(x, product) for""",
        """                products += [builder.fmul(h, w, flags=("contract",)) for h in found]
            if sums is None:
                return products
            return [builder.fadd(x, product, flags=("contract",)) for""",
        "test_mlp.py::test_agreement -k numba",
    ),
    Mutant(
        "the last units of a layer left out",
        "multisubnet/_backends/numba/llvm/networks.py",
        "if n_out > whole:",
        "if n_out > whole + 3:",
        "test_mlp.py::test_agreement -k numba",
    ),
    Mutant(
        "units after the last whole vector left out, where lanes are units",
        "multisubnet/_backends/numba/llvm/few_samples.py",
        "if n_out >> bit & 1]",
        "if n_out >> bit & 1 and bit != 1]",
        "test_mlp.py::test_few_samples_of_each_set",
    ),
    Mutant(
        "weights of the first set for all",
        "multisubnet/_backends/numba/llvm/transposes.py",
        "step = builder.select(shared, INT64(0), strides[0])",
        "step = INT64(0)",
        "test_mlp.py::test_agreement -k numba",
    ),
    Mutant(
        "threads that share scratch memory for networks",
        "multisubnet/_backends/numba/areas.py",
        "while load(begin + i * size) or not replace(begin + i * size, 0, 1):",
        "while i != 0:",
        "test_mlp.py::test_all_sets_of_large_problems -k numba",
    ),
    Mutant(
        "samples that are not put back in their order",
        "multisubnet/_backends/numba/mlp_engine.py",
        "values[np.argsort(order)]",
        "values[order]",
        "test_mlp.py -k 'select and numba'",
    ),
    Mutant(
        "a plan for 0.0 taken for one of -0.0",
        "multisubnet/_backends/cupy/engine.py",
        "signs = tuple(math.copysign(1.0, x) for x in what if isinstance(x, float))",
        "signs = ()",
        "test_cupy_arrays.py -k plans",
    ),
    Mutant(
        "sums of gradients begun anew with each chunk of a run",
        "multisubnet/_backends/numba/llvm/network_sums.py",
        "builder.store(self._load(place), total)",
        "builder.store(self.zero, total)",
        "test_numba_mlp_sums.py -k test_ends",
    ),
    Mutant(
        "an fma in gradients",
        "multisubnet/_backends/numba/llvm/network_sums.py",
        """                    term = d if h is None else builder.fmul(h, d)
                    builder.store(builder.fadd(builder.load(total), term), total)""",
        """                    fast = ("contract",)
                    term = d if h is None else builder.fmul(h, d, flags=fast)
                    builder.store(builder.fadd(builder.load(total), term, flags=fast), total)""",
        "test_numba_mlp_sums.py -k test_ends",
    ),
    Mutant(
        "inputs of a layer's sums in another order",
        "multisubnet/_backends/numba/llvm/network_sums.py",
        "inside = added(builder.add(i, INT64(step)), inside)",
        "inside = added(builder.add(i, INT64(_STEP - 1 - step)), inside)",
        "test_numba_mlp_sums.py -k test_ends",
    ),
    Mutant(
        "no derivative of hidden activations",
        "multisubnet/_backends/numba/llvm/network_sums.py",
        'if plan.activations[number - 1] != "linear":',
        'if plan.activations[number - 1] == "linear":',
        "test_numba_mlp_sums.py -k test_ends",
    ),
    Mutant(
        "slopes without the weight of their sample",
        "multisubnet/_backends/numba/llvm/network_sums.py",
        "slope = builder.fmul(slope, self._factor(step))",
        "slope = builder.fmul(slope, self._factor(t))",
        "test_numba_mlp_sums.py -k test_ends",
    ),
    Mutant(
        "a step more of a run that has ended",
        "multisubnet/_backends/numba/llvm/network_sums.py",
        'builder.icmp_signed("<", step, lengths)',
        'builder.icmp_signed("<=", step, lengths)',
        "test_numba_mlp_sums.py -k test_ends",
    ),
    Mutant(
        "inputs of a run that has ended",
        "multisubnet/_backends/numba/mlp_sum_loops.py",
        "of_set[row, f] if is_there else zero",
        "of_set[row, f] if is_there else inputs[at]",
        "test_numba_mlp_sums.py -k non_finite",
    ),
    Mutant(
        "a run lost",
        "multisubnet/_backends/numba/llvm/run_totals.py",
        "with cgutils.for_range(builder, n_runs) as loop:",
        "with cgutils.for_range(builder, builder.sub(n_runs, INT64(1))) as loop:",
        "test_numba_mlp_sums.py -k test_ends",
    ),
    Mutant(
        "a block lost",
        "multisubnet/_backends/numba/mlp_sum_loops.py",
        "min(block + of_blocks, grid[4])",
        "min(block + of_blocks, max(grid[4] - 1, 1))",
        "test_numba_mlp_sums.py -k test_ends",
    ),
    Mutant(
        "gradients of one block that are not divided",
        "multisubnet/_backends/numba/moment_loops.py",
        "out[i] = values[i] / divisor",
        "out[i] = values[i]",
        "test_numba_mlp_sums.py -k divided",
    ),
    Mutant(
        "a gradient shared by sets that each set overwrites",
        "multisubnet/_functions/mlp_summation.py",
        "x.dtype != sums.call.dtype or len(x) != n_sets",
        "x.dtype != sums.call.dtype",
        "test_numba_mlp_sums.py -k sets_share",
    ),
    Mutant(
        "slopes of hidden units added from the right",
        "multisubnet/_backends/numpy_mlp_sums.py",
        "delta[:, k, None] for k in range(w.shape[2])",
        "delta[:, k, None] for k in reversed(range(w.shape[2]))",
        "test_mlp_losses.py -k 'test_agreement and numpy'",
    ),
    Mutant(
        "the slope of an activation left out of a hidden layer",
        "multisubnet/_backends/numpy_mlp_sums.py",
        "delta *= run_program(program, given)[0]",
        "run_program(program, given)",
        "test_mlp_losses.py -k central",
    ),
    Mutant(
        "gradients without the weights of samples",
        "multisubnet/_backends/numpy_mlp_sums.py",
        "None if delta is None else delta * factor",
        "delta",
        "test_mlp_losses.py -k central",
    ),
    Mutant(
        "totals of runs added in the working dtype",
        "multisubnet/_backends/numpy_mlp_sums.py",
        "added = total.copy()",
        "added = total.astype(runs.dtype)",
        "test_mlp_losses.py -k 'test_agreement and numpy'",
    ),
    Mutant(
        "blocks of samples added by a chain",
        "multisubnet/_functions/mlp_summation.py",
        "while self._nodes and self._nodes[-1][0] == level:",
        "while self._nodes:",
        "test_mlp_losses.py -k 'several_blocks and numpy'",
    ),
    Mutant(
        "of a feature that two networks see, one",
        "multisubnet/_functions/mlp_summation.py",
        "of_features[:, features] + of_inputs[:, columns]",
        "of_inputs[:, columns]",
        "test_mlp_losses.py -k vjp_is",
    ),
    Mutant(
        "products of networks in another order, on the GPU",
        "cuda/mlp_layer.cu",
        "for (int64 i = 0; i < p.n_inputs; ++i, weights += p.weight.sample) {",
        """weights += (p.n_inputs - 1) * p.weight.sample;
        for (int64 i = p.n_inputs - 1; i >= 0; --i, weights -= p.weight.sample) {""",
        "test_mlp_kernels.py -k host",
    ),
    Mutant(
        "a bias of networks that is added last, on the GPU",
        "cuda/mlp.cuh",
        """                const T product = mul(h[row], w.lane[lane]);
                z.of[k][row] = i ||""",
        """                const T product = mul(h[row], w.lane[lane]);
                const T bias = reinterpret_cast<const T *>(weights)[k];
                if (Layer::BIASED) {
                    z.of[k][row] = i ? add(z.of[k][row], product) : product;
                    if (i == Layer::IN - 1) z.of[k][row] = add(z.of[k][row], bias);
                } else z.of[k][row] = i ||""",
        "test_mlp_kernels.py -k host",
    ),
    Mutant(
        "values of another unit, on the GPU",
        "cuda/mlp.cuh",
        "values[row] = of[i][row];",
        "values[row] = of[UNITS - 1 - i][row];",
        "test_mlp_kernels.py -k host",
    ),
    Mutant(
        "units of a layer computed in turns from another turn's weights, on the GPU",
        "cuda/mlp.cuh",
        "weights + first * int(sizeof(T)) / 16, before",
        "weights, before",
        "test_mlp_kernels.py -k host",
    ),
    Mutant(
        "a sample of networks left out, on the GPU",
        "cuda/mlp.cu",
        "if (b + row * p.lanes >= p.n_samples) return;",
        "if (b + row * p.lanes + 1 >= p.n_samples && row) return;",
        "test_mlp_kernels.py -k host",
    ),
    Mutant(
        "another input of a network, on the GPU",
        "cuda/mlp.cuh",
        "reinterpret_cast<const int64 *>(p.inputs.data) + s * IN : nullptr",
        "reinterpret_cast<const int64 *>(p.inputs.data) + s : nullptr",
        "test_mlp.py::test_agreement -k host",
    ),
    Mutant(
        "weights that are shared read as if they were not, on the GPU",
        "multisubnet/_backends/cupy/launch/mlp.py",
        "strides[axis] = 0 if length == 1 else stride",
        "strides[axis] = stride",
        "test_mlp_kernels.py -k host",
    ),
    Mutant(
        "sums over networks in the working dtype, on the GPU",
        "cuda/mlp.cu",
        "add(totals[k][row], Convert<float64>::from(values[k][row]));",
        "Convert<float64>::from(add(Convert<T>::from(totals[k][row]), values[k][row]));",
        "test_mlp_kernels.py -k host",
    ),
    Mutant(
        "sums over networks in another order, on the GPU",
        "cuda/mlp.cu",
        """            for (int64 s = 0; s < p.n_subnets; ++s) {
                stage_group""",
        """            for (int64 t = 0; t < p.n_subnets; ++t) {
                const int64 s = p.n_subnets - 1 - t;
                stage_group""",
        "test_mlp_kernels.py -k host",
    ),
    Mutant(
        "weights that are read before they are there, on the GPU",
        "cuda/mlp.cuh",
        """            if (!ADDITIVE) s = 0;
        }
    }
    __syncthreads();
""",
        """            if (!ADDITIVE) s = 0;
        }
    }
""",
        "test_mlp_kernels.py -k host",
    ),
    Mutant(
        "weights that are overwritten while they are read, on the GPU",
        "cuda/mlp.cuh",
        "    __syncthreads();  // the previous weights are no longer read",
        "",
        "test_mlp_kernels.py -k host",
    ),
    Mutant(
        "work behind the largest grid left out",
        "cuda/mlp.cu",
        "work < p.n_groups * p.n_parts; work += gridDim.x",
        "work < gridDim.x; work += gridDim.x",
        "test_mlp_kernels.py -k host",
    ),
    Mutant(
        "sums over pieces of networks that begin anew, on the GPU",
        "cuda/mlp_sum.cu",
        "if (!p.is_first)",
        "if (false)",
        "test_mlp_kernels.py -k host",
    ),
    Mutant(
        "a set that there is not, of networks on the GPU",
        "cuda/networks.cuh",
        "return n >= 0 && n < n_sets ? n : -1;",
        "return n >= 0 && n <= n_sets ? n : -1;",
        "test_mlp.py::test_select -k host",
    ),
    Mutant(
        "weights of samples left out of losses of networks",
        "cuda/outputs.cuh",
        "    return mul(term, factor);",
        "    return term;",
        "test_mlp_sum_kernels.py -k host",
    ),
    Mutant(
        "a run of losses of networks that begins too early",
        "cuda/mlp_loss.cu",
        "run * (RUN + 1)",
        "run * RUN",
        "test_mlp_sum_kernels.py -k host",
    ),
    Mutant(
        "losses of networks overwritten before they are added up",
        "cuda/mlp_loss.cu",
        """            __syncthreads();
            if (thread < group &&""",
        "            if (thread < group &&",
        "test_mlp_sum_kernels.py -k host",
    ),
    Mutant(
        "a sum of losses begun anew in each piece of a block",
        "cuda/mlp_output_loss.cu",
        "if (p.totals.data && !p.is_first) total = *kept;",
        "",
        "test_mlp_sum_kernels.py -k 'pieces and host'",
    ),
    Mutant(
        "a sum of gradients begun anew in each piece of a block",
        "cuda/mlp_layer_sums.cu",
        "p.is_first ? 0.0 : *kept",
        "0.0",
        "test_mlp_sum_kernels.py -k host",
    ),
    Mutant(
        "gradients of networks that know no runs",
        "cuda/mlp_layer_sums.cu",
        "b < run + RUN && b < end",
        "b < end",
        "test_mlp_sum_kernels.py -k host",
    ),
    Mutant(
        "the way back of networks without derivatives",
        "cuda/mlp_layer.cu",
        "mul(unit.of[row], slope.of[row])",
        "unit.of[row]",
        "test_mlp_sum_kernels.py -k host",
    ),
    Mutant(
        "gradients of networks without derivatives",
        "cuda/mlp_grad.cu",
        "delta.of[j][row] = mul(delta.of[j][row], slope[row]);",
        "delta.of[j][row] = slope[row] == slope[row] ? delta.of[j][row] : T();",
        "test_mlp_sum_kernels.py -k host",
    ),
    Mutant(
        "runs of gradients as long as a sheet",
        "cuda/mlp_grad.cu",
        "columns < run + RUN ? columns : run + RUN",
        "columns",
        "test_mlp_sum_kernels.py -k host",
    ),
    Mutant(
        "columns of a sheet with what no sample has",
        "cuda/mlp_grad.cu",
        "exists[row] ? values[row] : T();",
        "values[row];",
        "test_mlp_sum_kernels.py -k host",
    ),
    Mutant(
        "a sheet read before it is written",
        "cuda/mlp_grad.cu",
        """            __syncthreads();
            const int there""",
        "            const int there",
        "test_mlp_sum_kernels.py -k host",
    ),
]


def run_tests(tests: str, mutant: Mutant | None, built: str) -> subprocess.CompletedProcess[str]:
    """Run some tests on a copy of the tree with one breakage, or none.

    `built` is a folder for compiled kernels, keyed by their sources.
    """
    with tempfile.TemporaryDirectory() as directory:
        tree = Path(directory) / "multisubnet"
        left_out = shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "__pycache__")
        shutil.copytree(ROOT, tree, ignore=left_out)
        (tree / "build").symlink_to(built)
        if mutant:
            path = tree / mutant.file
            path.write_text(path.read_text().replace(mutant.old, mutant.new))
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
        environment = {"CI": "true", "MULTISUBNET_TEST_EXAMPLES": "30"}
        command += ["-m", "not gpu", *shlex.split(tests)]
        try:
            return subprocess.run(
                command,
                cwd=tree / "tests",
                env=os.environ | environment | {"PYTHONPATH": str(tree)},  # for programs of tests
                capture_output=True,
                text=True,
                timeout=_LONGEST,
            )
        except subprocess.TimeoutExpired:
            return subprocess.CompletedProcess(command, 124, "", f"no end in {_LONGEST} s")


def main() -> None:
    """Test every mutant, or those named, and report which survive."""
    mutants = [x for x in MUTANTS if x.what in sys.argv[1:]] or MUTANTS
    survivors, failures = [], {}
    with tempfile.TemporaryDirectory() as built, ThreadPoolExecutor(os.cpu_count()) as pool:
        whole = sorted({mutant.tests for mutant in mutants})
        for tests, done in zip(
            whole, pool.map(lambda x: run_tests(x, None, built), whole), strict=True
        ):
            if done.returncode:
                failures[tests] = done.stdout + done.stderr
        if failures:
            raise SystemExit(
                "\n".join(["there are failures without any breakage:", *failures.values()])
            )
        print(f"{len(whole)} groups of tests pass without any breakage", flush=True)
        for mutant, done in zip(
            mutants, pool.map(lambda x: run_tests(x.tests, x, built), mutants), strict=True
        ):
            failed = [
                line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))
            ]
            seen = (failed or [f"the process ended with {done.returncode}"])[0][:120]
            print(
                f"{'killed  ' if done.returncode else 'SURVIVED'} {mutant.what}: {seen}", flush=True
            )
            if not done.returncode:
                survivors.append(mutant)
    print(f"{len(mutants)} mutants, {len(survivors)} survived")
    if survivors:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
