"""The kernels as NVRTC compiles them for CuPy, which can be examined without a GPU."""

from __future__ import annotations

import importlib.util
import itertools
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from conftest import ALL_PARAMETERS, EXAMPLES, combined, few
from test_launch import H100, Array, launch_of_sums
from test_mlp_kernels import launch_of_mlp
from test_mlp_sum_kernels import launch_of_gradients, launch_of_loss

from multisubnet._arithmetic.activation_recipes import RECIPES
from multisubnet._arithmetic.summands import Summands
from multisubnet._backends.cupy import sources
from multisubnet._backends.cupy.launch import affine, sums
from multisubnet._backends.cupy.launch.moments import (
    plan_moment_loss,
    plan_moment_sums,
    plan_moments,
)
from multisubnet._backends.cupy.launch.operands import functor
from multisubnet._functions.loss_problem import LOSSES

nvrtc = pytest.importorskip("cupy_backends.cuda.libs.nvrtc", reason="CuPy is not installed")


def _architectures():
    try:
        return [arch for arch in nvrtc.getSupportedArchs() if arch >= 70]
    except Exception:  # CuPy's loaders raise various errors
        return []


ARCHITECTURES = _architectures()
SHORT = sorted({90, *ARCHITECTURES[:1], *ARCHITECTURES[-1:]} & {*ARCHITECTURES})
SOME_ARCHITECTURES = ARCHITECTURES if ALL_PARAMETERS <= EXAMPLES else SHORT
TEMPLATES = ["affine", "affine_runs", "affine_select", "affine_select_runs"]
KEYS = [key for name in RECIPES for key in (name, f"{name}_derivative")]
WITH_GRADIENT = ("loss", "slope_sample", "slope")
needs_nvrtc = pytest.mark.skipif(not ARCHITECTURES, reason="NVRTC is not installed")


def keys_of(template):
    """Return the activations for which a kernel is examined."""
    return KEYS if template == "affine" else ["linear", "tanh", "gelu_tanh_derivative"]


def of_sums(loss, activation, outputs, dtype, layout="losses", *, weighted=False, of_operands=None):
    """Return the name of an instance of sums."""
    terms = Summands(loss, activation, outputs, weighted)
    return launch_of_sums(terms, dtype, layout=layout, of_operands=of_operands)[0].kernel


def few_sums(dtype):
    """Return instances for all kinds of sums."""
    mean_and_spread = "squared_error", "tanh", ("loss", "error"), dtype, "statistics"
    return [
        of_sums("product", "linear", ("loss",), dtype, "total"),
        of_sums("absolute_error", "linear", ("loss",), dtype),
        of_sums("binary_crossentropy", "gelu", WITH_GRADIENT, dtype, weighted=True),
        of_sums(*mean_and_spread, weighted=True, of_operands="f2"),
        of_sums("product", "silu", ("slope_weight",), dtype, "gradients of samples"),
    ]


def many_sums(dtype):
    """Return instances for each loss and each activation."""
    activations = itertools.cycle(["linear", "tanh", "gelu"])
    own_samples = dtype, "losses on own samples"
    return [
        *few_sums(dtype),
        *(of_sums(loss, "linear", ("loss",), dtype, of_operands="f2") for loss in LOSSES),
        *(
            of_sums(loss, activation, WITH_GRADIENT, *own_samples, weighted=True)
            for loss, activation in zip(LOSSES, activations, strict=False)
        ),
        *(
            of_sums("product", key, ("slope_sample", "slope"), dtype, "gradients")
            for key in RECIPES
        ),
    ]


def of_finish():
    """Return the name of the instance of finish."""
    totals = Array((1, 4, 5), (160, 40, 8), np.dtype("f8"))
    out = Array((4,), (4,), np.dtype("f4"))
    return sums.plan_finish(totals, out, None, 1.0, H100, lambda array: 0).kernel


def of_closed_form():
    """Return the names of all instances of sums, moments and moment_loss for the closed form."""
    samples, weights = Array((5, 4), (16, 4), np.dtype("f4")), Array((5,), (4,), np.dtype("f4"))
    known, counts = Array((11, 4), (32, 8), np.dtype("f8")), Array((2,), (8,), np.dtype("f8"))
    names = {"moments": [], "sums": [], "moment_loss": []}
    for dtype in map(np.dtype, ("f4", "f8")):  # of operands of float32
        for formula, outputs in {"sizes": 2, "weights": 2, "data": 2, "rest": 1}.items() | {
            ("products", 2),
            ("signed_rest", 5),
        }:
            totals = Array((1, outputs, 4), (160, 32, 8), np.dtype("f8"))
            arrays = samples, known, None, samples, weights, totals
            what = formula, formula == "signed_rest", dtype, H100, lambda array: 0
            names["sums"].append(plan_moment_sums(*arrays, *what).kernel)
        for formula in ("loss_by_moments", "loss_by_signed_weights"):
            what = formula, dtype, 1.0, True, H100, lambda array: 0
            names["moment_loss"].append(
                plan_moment_loss(*[samples] * 2, known, *[samples] * 3, *what).kernel
            )
    steps = ["Totals<Sum>", "Totals<Largest>", "Fits", "Means", "Slopes", "Rests<1>", "Rests<5>"]
    steps += "Settling<Settled, false>", "Settling<Settled, true>", "Spread"
    for step in steps:
        launch = plan_moments(None, known, known, counts, step, 1.0, H100, lambda array: 0)
        names["moments"].append(launch.kernel)
    return names


def compiled(target, names, source=None):
    """Compile kernels as CuPy does: it appends -ftz=true to our options, and the last one wins."""
    options = ("-std=c++17", "-ftz=true", f"-arch={target}", "--ptxas-options=-v")
    source = source or sources.source(names[0].split("<")[0] + ".cu", tuple(names))
    program = nvrtc.createProgram(source, "kernels.cu", (), ())
    for name in names:
        nvrtc.addNameExpression(program, name)
    try:
        nvrtc.compileProgram(program, options)
    except nvrtc.NVRTCError:
        pytest.fail(nvrtc.getProgramLog(program))
    return program


def ptx(names, source=None):
    program = compiled("compute_80", names, source)
    text = nvrtc.getPTX(program)
    return text if isinstance(text, str) else text.decode()


def broken_promises(text):
    """Return the instructions that flush, contract, approximate or use local memory."""
    return set(
        re.findall(r"\S*\.ftz\S*|\bfma\S*|\bmad\.\S*f\d\d|\S*\.approx\S*|\S+\.local\S*", text)
    )


@needs_nvrtc
@pytest.mark.parametrize(
    ("arch", "template"),
    [
        (arch, template)
        for arch in few(ARCHITECTURES, 2)
        for template in TEMPLATES
        if not template.endswith("_runs") or arch in (*ARCHITECTURES[::12], 80, 90, 100)
    ],
)
def test_every_kernel_stays_in_registers(arch, template):
    keys = ["linear"]
    if arch in (ARCHITECTURES[0], ARCHITECTURES[-1]):
        # All of them take minutes; with few examples, only the longest ones are compiled.
        keys = keys_of(template) if EXAMPLES >= 200 else ["linear", "gelu_derivative"]
    names = few([name for key in keys for name in affine.kernels(template, key)], 12)
    # Two blocks of 256 threads fit on a multiprocessor, or one if a thread has 16 bytes of a row.
    of_bytes = [name for name in names if re.match(r"affine\w*_runs<(boolean|u?int8),", name)]
    assert most_registers(arch, [name for name in names if name not in of_bytes]) <= 128
    if of_bytes:
        assert most_registers(arch, of_bytes) <= 255


@needs_nvrtc
@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("arch", few(ARCHITECTURES, 2))
def test_sums_stay_in_registers(arch, dtype):
    # Two blocks of 256 threads fit on a multiprocessor.
    every = arch in (ARCHITECTURES[0], 80, 90, 100, ARCHITECTURES[-1])
    assert most_registers(arch, few(many_sums(dtype), 12) if every else few_sums(dtype)) <= 128


@needs_nvrtc
@pytest.mark.parametrize("arch", few(ARCHITECTURES, 2))
def test_finish_and_the_closed_form_stay_in_registers(arch):
    for names in ([of_finish()], *of_closed_form().values()):
        assert most_registers(arch, names) <= 128


NETWORKS = {  # registers per thread; multiprocessors have 65,536
    ((1, 8, 8, 1), "f4", False): 128,
    ((1, 16, 16, 1), "f4", False): 168,
    ((1, 16, 16, 1), "f4", True): 168,
    ((1, 16, 16, 1), "f8", False): 168,
    ((1, 16, 16, 1), "f2", False): 168,
    ((8, 16, 16, 4), "f4", False): 255,
    ((1, 32, 32, 1), "f4", False): 168,
    ((1, 32, 32, 1), "f4", True): 168,
    ((1, 32, 32, 1), "f8", False): 255,
    ((1, 40, 40, 1), "f4", False): 248,
    ((1, 48, 48, 1), "f4", False): 168,
    ((1, 64, 64, 1), "f4", False): 208,
    ((1, 64, 64, 1), "f4", True): 208,
    ((1, 48, 48, 1), "f8", False): 255,
}


@needs_nvrtc
@pytest.mark.parametrize(("networks", "arch"), combined(NETWORKS, SOME_ARCHITECTURES), ids=str)
def test_networks_stay_in_registers(arch, networks):
    sizes, dtype, additive = networks
    is_short = arch in SHORT and sizes[1] != 32
    if EXAMPLES < 200 and not is_short and sizes[1] > 8:
        pytest.skip("takes long: with 200 examples")
    name = launch_of_mlp((10**4, 100, 9), sizes, additive=additive, dtype=dtype).kernel
    assert most_registers(arch, [name]) <= NETWORKS[networks]


LAYERS = [  # instances of mlp_layer and mlp_sum
    "mlp_layer<float32, Direct<float32, 1>, Direct<float32, 1>, Relu, 16, 4>",
    "mlp_layer<float32, Direct<float32, 1>, Direct<float32, 1>, Called<Gelu>, 16, 4>",
    "mlp_layer<float64, Direct<float64, 1>, Direct<float64, 1>, Called<Tanh>, 4, 2>",
    "mlp_layer<float32, Converting<float32>, Converting<float16>, Relu, 16, 4>",
    "mlp_layer<int8, Converting<int8>, Converting<int8>, Relu6, 4, 1>",
    "mlp_layer<float32, Direct<float32, 1>, Direct<float32, 1>, Linear, 16, 4, ReluDerivative>",
]
SUMS_OF_NETWORKS = [
    "mlp_sum<float32, Direct<float32, 1>, Converting<float16>>",
    "mlp_sum<float64, Converting<float64>, Direct<float64, 1>>",
]


@needs_nvrtc
@pytest.mark.parametrize("arch", few(ARCHITECTURES))
def test_networks_that_go_through_memory_stay_in_registers(arch):
    most = 1 if EXAMPLES < 200 and arch not in (ARCHITECTURES[0], 90) else len(LAYERS)
    assert most_registers(arch, LAYERS[:most]) <= 168
    assert most_registers(arch, SUMS_OF_NETWORKS) <= 128


CATEGORICAL = "categorical_crossentropy_from_logits"
LOSSES_OF_NETWORKS = {  # registers per thread
    ((1, 8, 8, 1), "squared_error", "f4"): 128,
    ((1, 16, 16, 1), "squared_error", "f4"): 168,
    ((1, 16, 16, 1), "log_cosh", "f8"): 168,
    ((8, 16, 16, 4), CATEGORICAL, "f4"): 255,
    ((1, 32, 32, 1), "squared_error", "f4"): 168,
    ((1, 32, 32, 1), "squared_error", "f8"): 168,
}
GRADIENTS_OF_NETWORKS = [
    ((1, 8, 8, 1), "squared_error", "f4"),
    ((1, 16, 16, 1), "squared_error", "f4"),
    ((1, 16, 16, 1), "huber", "f8"),
    ((8, 16, 16, 4), CATEGORICAL, "f4"),
    ((1, 32, 32, 1), "squared_error", "f4"),
]
TOGETHER = f"Together<{functor(CATEGORICAL)}_4>"
OUTPUT_LOSSES = [
    "mlp_output_loss<float32, OutputLoss<SquaredError, Linear, LinearDerivative, 1>>",
    "mlp_output_loss<float64, OutputLoss<BinaryCrossentropy, Sigmoid, SigmoidDerivative, 1>>",
    f"mlp_output_loss<float32, OutputLoss<{TOGETHER}, Tanh, TanhDerivative, 4>>",
]
LAYER_SUMS = [
    "mlp_layer_sums<float32, Direct<float32, 1>>",
    "mlp_layer_sums<float64, Converting<float64>>",
]


def skip_if_long(arch, sizes):
    if EXAMPLES < 200 and (arch not in SHORT or sizes[-2] == 32):
        pytest.skip("takes long: with 200 examples")


@needs_nvrtc
@pytest.mark.parametrize(
    ("networks", "arch"), combined(LOSSES_OF_NETWORKS, SOME_ARCHITECTURES), ids=str
)
def test_losses_of_networks_stay_in_registers(arch, networks):
    sizes, loss, dtype = networks
    skip_if_long(arch, sizes)
    name = launch_of_loss((10**4, 100, 9), sizes, loss, dtype=dtype, weighted=True).kernel
    assert most_registers(arch, [name]) <= LOSSES_OF_NETWORKS[networks]


@needs_nvrtc
@pytest.mark.parametrize(
    ("networks", "arch"), combined(GRADIENTS_OF_NETWORKS, SOME_ARCHITECTURES), ids=str
)
def test_gradients_of_networks_stay_in_registers(arch, networks):
    sizes, loss, dtype = networks
    skip_if_long(arch, sizes)
    name = launch_of_gradients((10**4, 100, 9), sizes, loss, dtype=dtype, weighted=True).kernel
    # Where ptxas stops at 168 registers, for a third block in a multiprocessor: see docs/gpu.md.
    assert most_registers(arch, [name], spilled=56) <= 255


@needs_nvrtc
@pytest.mark.parametrize("arch", few(ARCHITECTURES, 2))
def test_losses_and_sums_in_memory_stay_in_registers(arch):
    assert most_registers(arch, OUTPUT_LOSSES) <= 168
    assert most_registers(arch, LAYER_SUMS) <= 128


@needs_nvrtc
def test_networks_neither_flush_nor_contract_nor_approximate():
    sums = launch_of_mlp((9, 9, 9), (3, 5, 2), additive=True, dtype="f2", last="tanh")
    names = [sums.kernel, launch_of_mlp((9, 9, 9), (1, 4, 1), dtype="f8").kernel]
    loss = launch_of_loss((9, 9, 9), (3, 5, 2), CATEGORICAL, weighted=True, last="tanh")
    text = ptx(names) + ptx(LAYERS) + ptx(SUMS_OF_NETWORKS)
    gradients = launch_of_gradients((9, 9, 9), (3, 5, 2), CATEGORICAL, last="tanh")
    text += ptx([loss.kernel]) + ptx([gradients.kernel]) + ptx(OUTPUT_LOSSES) + ptx(LAYER_SUMS)
    assert broken_promises(text) == set()
    instructions = {"mul.rn.f32", "add.rn.f64", "div.rn.f32", "setp.lt.f32", "cvt.rn.f16.f64"}
    assert instructions <= set(re.findall(r"[\w.]+", text))


@needs_nvrtc
def test_the_code_of_a_long_activation_is_there_once():
    activations = "relu", "gelu"
    names = [launch_of_mlp((10**4, 100, 9), (1, 8, 8, 1), hidden=x).kernel for x in activations]
    short, long = (ptx([name]) for name in names)
    assert len(long.splitlines()) < 2 * len(short.splitlines())
    of_one = ptx(["affine<float32, Gelu, Direct<float32, 1>>"]).count("div.rn.f32")
    assert long.count("div.rn.f32") == 4 * of_one  # for the samples of a thread
    assert most_registers(90, names[1:]) <= 128
    assert broken_promises(long) == set()


@needs_nvrtc
@pytest.mark.parametrize(
    ("sizes", "dtype", "lanes"),
    [((1, 16, 16, 1), "f4", 1), ((6, 5, 8), "f8", 2), ((8, 9, 4), "f4", 4)],
)
def test_weights_are_read_16_bytes_at_a_time_for_all_samples_of_a_thread(sizes, dtype, lanes):
    launch = launch_of_mlp((10**4, 100, 1), sizes, dtype=dtype)
    bytes_ = np.dtype(dtype).itemsize
    text = ptx([launch.kernel])
    loads = re.findall(r"ld\.shared(\S*)", text)
    # Biases and weights of each layer, once; the last vector may be partial.
    whole, vector = 16 // bytes_, f".v{16 // bytes_}.f{8 * bytes_}"
    counts = [(a + 1) * b for a, b in itertools.pairwise(sizes)]
    assert loads.count(vector) == sum(count // whole for count in counts)
    assert len(loads) - loads.count(vector) <= sum(count % whole for count in counts)
    rows = int(re.search(r">, (\d), false", launch.kernel)[1])
    products = sum(a * b for a, b in itertools.pairwise(sizes))
    assert text.count(f"mul.rn.f{8 * bytes_}") == rows * products
    assert text.count(f"add.rn.f{8 * bytes_}") == rows * products
    stores = re.findall(r"st\.global(\S*)", text)
    width = f".v{lanes}" if lanes > 1 else ""
    assert stores == [f"{width}.f{8 * bytes_}"] * (rows * sizes[-1] // lanes)


def most_registers(arch, names, *, spilled=0):
    """Return the maximal number of registers per thread of kernels that may spill so many bytes."""
    log = nvrtc.getProgramLog(compiled(f"sm_{arch}", names))
    spills = re.findall(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes", log)
    registers = re.findall(r"Used (\d+) registers", log)
    assert len(registers) == len(names) <= len(spills)  # called functions have their own spills
    assert max(int(size) for sizes in spills for size in sizes) <= spilled, log
    return max(map(int, registers))


@needs_nvrtc
@pytest.mark.parametrize("template", TEMPLATES)
def test_no_kernel_flushes_contracts_or_approximates(template):
    names = [name for key in keys_of(template) for name in affine.kernels(template, key)]
    text = ptx(few(names, 36))
    assert broken_promises(text) == set()
    instructions = {"mul.rn.f32", "add.rn.f64", "div.rn.f32", "setp.lt.f32", "cvt.rn.f16.f32"}
    assert instructions <= set(re.findall(r"[\w.]+", text))


@needs_nvrtc
def test_sums_neither_flush_nor_contract_nor_approximate():
    names = few([*many_sums("f4"), *many_sums("f8")], 12), [of_finish()], *of_closed_form().values()
    text = "".join(map(ptx, names))
    assert broken_promises(text) == set()
    instructions = {"mul.rn.f32", "add.rn.f64", "div.rn.f64", "setp.lt.f32", "cvt.f64.f32"}
    assert instructions <= set(re.findall(r"[\w.]+", text))


@needs_nvrtc
@pytest.mark.parametrize("name", [*few_sums("f4"), *few_sums("f8"), of_finish()])
def test_indices_are_divided_before_anything_is_read(name):
    # By the number of features; for sums, by the threads and features of a tile.
    text = ptx([name])
    divisions = [match.start() for match in re.finditer(r"(?:div|rem)\.[su]64", text)]
    assert len(divisions) == (2 if name.startswith("sums") else 1)
    assert max(divisions) < text.index("ld.global")


@needs_nvrtc
@pytest.mark.parametrize(
    ("layout", "outputs", "reads"),
    [
        ("losses", ("loss",), {"s": 2, "h": 2}),  # samples and targets; weight and bias
        ("losses on own samples", ("loss",), {"s": 1, "h": 2, "e": 1}),
        ("statistics", ("loss", "error"), {"s": 2, "h": 2}),
        ("gradients", ("slope_sample", "slope"), {"s": 1, "h": 2, "e": 1}),
    ],
)
@pytest.mark.parametrize(("dtype", "rows"), [("f4", 4), ("f8", 2)])
def test_a_thread_reads_values_shared_by_its_rows_once(layout, outputs, reads, dtype, rows):
    text = ptx([of_sums("huber", "tanh", outputs, dtype, layout, weighted=True)])
    (width,) = set(re.findall(r"ld\.global\.(\w+)", text))
    assert width == f"f{8 * int(dtype[1])}"
    factor = 1
    assert text.count("ld.global") == reads["s"] + rows * (reads["h"] + reads.get("e", 0)) + factor
    assert text.count("st.global") == rows * len(outputs)


@needs_nvrtc
@pytest.mark.parametrize(
    ("plain", "instruction"),
    [
        ("*out = *in * 3.0f;", "mul.ftz.f32"),
        ("*out = *in * 3.0f + in[1];", "fma.rn.ftz.f32"),
        ("*out = static_cast<float>(static_cast<double>(*in) * in[1] * 1e-9);", "cvt.ftz.f64.f32"),
        ("*out = __fdividef(*in, in[1]);", "div.approx.ftz.f32"),
        ("double x = in[0]; *out = float(x * x + x);", "fma.rn.f64"),
    ],
)
def test_forbidden_instructions_would_be_found(plain, instruction):
    # The plain operators contain the instructions that these tests search for.
    source = f"template <int> __global__ void plain(const float *in, float *out) {{ {plain} }}"
    assert instruction in broken_promises(ptx(["plain<0>"], source))


@needs_nvrtc
@pytest.mark.parametrize(
    "name",
    [k for key in ("linear", "tanh") for k in affine.kernels("affine", key) if "Direct" in k],
)
def test_a_thread_reads_and_writes_all_its_lanes_at_once(name):
    type_name, lanes = re.fullmatch(r"affine<\w+, \w+, Direct<(\w+), (\d+)>>", name).groups()
    widths = {"boolean": 1, "float16": 2, "bfloat16": 2, "complex64": 8, "complex128": 16}
    width = int(lanes) * (widths.get(type_name) or int(re.search(r"\d+", type_name)[0]) // 8)
    accesses = re.findall(r"(?:ld|st)\.global(?:\.v(\d))?\.\w(\d+)", ptx([name]))
    assert len(accesses) >= 5  # a sample for all sets, or one per set; weight; bias; result
    assert {int(count or 1) * int(bits) // 8 for count, bits in accesses} == {width}


def loops(text):
    """Return the bodies of a kernel's loops, in PTX or machine code."""
    labels = {match[1]: match.start() for match in re.finditer(r"^(\$L\w+|\.L_x_\d+):", text, re.M)}
    branches = re.finditer(r"(?i)\bbra\b[^;]*?(\$L\w+|\.L_x_\d+)\)?\s*;", text)
    return [text[labels[m[1]] : m.end()] for m in branches if labels[m[1]] < m.start()]


def walks(text, store):
    """Return the loops that store such values; no other loops do."""
    found = [loop for loop in loops(text) if re.search(store, loop)]
    assert found
    return [loop for loop in found if not any(other in loop and other != loop for other in found)]


SIZES = {"boolean": 1, "float16": 2, "bfloat16": 2, "complex64": 8, "complex128": 16}


@needs_nvrtc
@pytest.mark.parametrize("name", few(affine.kernels("affine_runs", "linear"), 30))
def test_instructions_of_affine_runs_per_run(name):
    pattern = r"affine_runs<(\w+), \w+, (\w+), (\w+)>"
    type_name, order, wide = re.fullmatch(pattern, name).groups()
    size = SIZES.get(type_name) or int(re.search(r"\d+", type_name)[0]) // 8
    lanes = 16 // size
    rows = affine._rows(order, lanes)
    text = ptx([name])
    of_vector = 1 if wide == "true" else lanes
    loads = of_vector if order == "SAMPLES_FIRST" else 2 * of_vector
    if order == "OWN_SAMPLES":
        loads += rows * (lanes + (lanes > 1))  # as a vector, or one by one
    for walk in walks(text, "st.global.cs"):
        assert re.findall(r"st\.\S*", walk) == ["st.global.cs.v4.b32"] * rows
        assert walk.count("ld.global") <= loads
        assert not re.search(r"\b(div|rem)\.", walk)


@needs_nvrtc
@pytest.mark.parametrize("name", affine.kernels("affine_select_runs", "linear"))
def test_a_thread_of_affine_select_runs_writes_vectors(name):
    text = ptx([name])
    type_name = re.match(r"affine_select_runs<(\w+)", name)[1]
    size = SIZES.get(type_name) or int(re.search(r"\d+", type_name)[0]) // 8
    stores = re.findall(r"st\.global\S*", text)
    assert stores.count("st.global.cs.v4.b32") == affine._rows("SETS_FIRST", 16 // size)
    # By the period, and for the place in the result; or for the place of an element at an end.
    assert len(re.findall(r"(?:div|rem)\.[su]64", text)) <= 3


@needs_nvrtc
@pytest.mark.parametrize(
    ("dtype", "most"), [("float32", 4), ("float64", 2), ("float16", 8), ("bfloat16", 8)]
)
def test_loads_of_affine_select_runs(dtype, most):
    # Per vector: a sample, a weight and a bias, of 16 bytes each if everything is aligned.
    text = ptx([f"affine_select_runs<{dtype}, Linear, true>"])
    vectors = re.findall(r"ld\.global\.v(\d)\.\w(\d+)", text)
    rows = affine._rows("SETS_FIRST", most)
    assert sum(int(count) * int(bits) == 128 for count, bits in vectors) == 3 * rows


@needs_nvrtc
def test_instructions_for_each_element():
    # In the float32 walk, in which a thread writes 16 elements.
    for flags, most in [
        ("SETS_FIRST, true", 5.5),
        ("SETS_FIRST, false", 8),
        ("SAMPLES_FIRST, true", 5),
    ]:
        text = ptx([f"affine_runs<float32, Linear, {flags}>"])
        for walk in walks(text, "st.global.cs"):
            instructions = re.findall(r"^\s+(?:@!?%p\d+ )?[a-z][\w.]*\s.*;$", walk, re.M)
            assert len(instructions) / 16 <= most


def nvdisasm():
    """Return the path of NVIDIA's disassembler, or None."""
    spec = importlib.util.find_spec("nvidia")
    directories = [*(spec.submodule_search_locations or ())] if spec else []
    found = [path for directory in directories for path in Path(directory).glob("*/bin/nvdisasm")]
    return shutil.which("nvdisasm") or (str(found[0]) if found else None)


def machine_code(arch, name, directory):
    cubin = directory / "kernel.cubin"
    # CuPy's binding drops the last byte.
    cubin.write_bytes(nvrtc.getCUBIN(compiled(f"sm_{arch}", [name])) + b"\0")
    command = [nvdisasm(), "--print-code", cubin]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


OF_CODE = sorted({80, 90, 100} & {*ARCHITECTURES})
CODE_OF_RUNS = [  # loads of a step, instructions per element
    ("float32, Linear, SETS_FIRST, true", 2, 7),
    ("float32, Linear, SETS_FIRST, false", 8, 11),
    ("float32, Linear, SAMPLES_FIRST, true", 1, 7),
    ("float32, Linear, SAMPLES_FIRST, false", 4, 9),
    ("float64, Linear, SETS_FIRST, true", 2, 14),
    ("float16, Linear, SETS_FIRST, true", 2, 12),
]
CODE_OF_SUMS = [  # loads and instructions per term, for float32 and float64
    (("absolute_error", "linear", ("loss",), "losses"), (1 / 2, 1), (9, 12)),
    (("huber", "linear", ("loss",), "losses"), (1 / 2, 1), (14, 18)),
    (("absolute_error", "tanh", ("loss",), "losses"), (1 / 2, 1), (76, 135)),
    (("huber", "linear", WITH_GRADIENT, "losses"), (1 / 2, 1), (24, 27)),
    (("absolute_error", "tanh", WITH_GRADIENT, "losses"), (1 / 2, 1), (155, 275)),
    (("squared_error", "linear", ("loss", "error"), "statistics"), (1 / 2, 1), (9, 13)),
    (("product", "linear", ("slope_sample", "slope"), "gradients"), (5 / 4, 3 / 2), (12, 12)),
    (("product", "linear", ("slope_weight",), "gradients of samples"), (5 / 4, 3 / 2), (8, 11)),
]


def instructions(code):
    """Return the names of machine instructions."""
    return re.findall(r"/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+ )?([A-Z][\w.]*)", code)


@needs_nvrtc
@pytest.mark.skipif(nvdisasm() is None, reason="nvdisasm is not installed")
@pytest.mark.parametrize(("case", "arch"), combined(CODE_OF_RUNS, OF_CODE), ids=str)
def test_machine_code_of_affine_runs(arch, case, tmp_path):
    kind, loads, most = case
    code = machine_code(arch, f"affine_runs<{kind}>", tmp_path)
    lanes = 16 // (int(re.search(r"\d+", kind)[0]) // 8)
    elements = lanes * affine._rows(kind.split(", ")[2], lanes)
    of_walks = [instructions(walk) for walk in walks(code, r"STG\S*\.128")]
    for names in of_walks:
        stored = {name for name in names if re.match(r"ST[GLS]?\.", name)}
        loaded = [name for name in names if re.match(r"LD[GLS]?\.", name)]
        assert all(re.fullmatch(r"STG\.E\.EF(\.\w+)*\.128", name) for name in stored)
        assert all(name.startswith("LDG") for name in loaded)
        assert len(loaded) <= loads
        assert not {"CALL", "MUFU"} & {name.split(".")[0] for name in names}
        assert len(names) <= most * elements, len(names) / elements
    assert (
        max(sum("128" in x and "STG" in x for x in names) for names in of_walks) * lanes == elements
    )


@needs_nvrtc
@pytest.mark.skipif(nvdisasm() is None, reason="nvdisasm is not installed")
@pytest.mark.parametrize(("case", "arch"), combined(CODE_OF_SUMS, OF_CODE), ids=str)
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_machine_code_of_sums(arch, case, dtype, tmp_path):
    (loss, activation, outputs, layout), loads, most = case
    name = of_sums(loss, activation, outputs, dtype, layout)
    rows, steps = map(int, re.search(r">, (\d), (\d), ", name).groups())
    assert rows == {"f4": 4, "f8": 2}[dtype]
    of_float64 = dtype == "f8"
    # The loop over the terms of a run, and the one over the remaining terms if it takes several.
    of_runs = [instructions(loop) for loop in walks(machine_code(arch, name, tmp_path), r"\bLDG")]
    assert len(of_runs) <= 2
    names = max(of_runs, key=len)
    terms = rows * steps
    assert sum(name.startswith("LDG") for name in names) == loads[of_float64] * terms
    assert len(names) <= most[of_float64] * terms, len(names) / terms
    assert not any(re.match(r"LD[LS]?\.|ST|BAR", name) for name in names)
    # The quotient of two floats starts with MUFU and calls a function for rare cases, as in tanh.
    quotients = [name for name in names if re.match("MUFU|CALL", name)]
    assert bool(quotients) == (activation == "tanh")
