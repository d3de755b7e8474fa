"""The kernels as NVRTC compiles them for CuPy: no GPU is needed to read what comes out."""

from __future__ import annotations

import re

import pytest

from multisubnet import _launch, _sources
from multisubnet._activation_recipes import RECIPES

nvrtc = pytest.importorskip("cupy_backends.cuda.libs.nvrtc", reason="CuPy is not installed")


def _architectures():
    try:
        return [arch for arch in nvrtc.getSupportedArchs() if arch >= 70]
    except Exception:  # CuPy's loaders raise various errors
        return []


ARCHITECTURES = _architectures()
TEMPLATES = ["affine", "affine_select"]
KEYS = [key for name in RECIPES for key in (name, f"{name}_derivative")]
needs_nvrtc = pytest.mark.skipif(not ARCHITECTURES, reason="NVRTC is not installed")


def compiled(target, names, source=None):
    """Compile kernels as CuPy does: it puts -ftz=true behind our options, and the last one wins."""
    options = ("-std=c++17", "-ftz=true", f"-arch={target}", "--ptxas-options=-v")
    source = source or _sources.source(names[0].split("<")[0] + ".cu")
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
    """Return the instructions that flush, contract, approximate or leave the registers."""
    return set(
        re.findall(r"\S*\.ftz\S*|\bfma\S*|\bmad\.\S*f\d\d|\S*\.approx\S*|\S+\.local\S*", text)
    )


@needs_nvrtc
@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_every_kernel_stays_in_registers(arch, template):
    keys = ["linear"]
    if arch in (ARCHITECTURES[0], 90, ARCHITECTURES[-1]):
        keys = KEYS if template == "affine" else ["linear", "tanh", "gelu_tanh_derivative"]
    names = [name for key in keys for name in _launch.kernels(template, key)]
    log = nvrtc.getProgramLog(compiled(f"sm_{arch}", names))
    spills = re.findall(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes", log)
    assert len(spills) == len(names)
    assert set(spills) == {("0", "0", "0")}, log
    registers = [int(n) for n in re.findall(r"Used (\d+) registers", log)]
    assert max(registers) <= 128, (
        "fewer than two blocks of 256 threads would fit in a multiprocessor"
    )


@needs_nvrtc
@pytest.mark.parametrize("template", TEMPLATES)
def test_no_kernel_flushes_contracts_or_approximates(template):
    text = ptx([name for key in KEYS for name in _launch.kernels(template, key)])
    assert broken_promises(text) == set()
    instructions = {"mul.rn.f32", "add.rn.f64", "div.rn.f32", "setp.lt.f32", "cvt.rn.f16.f32"}
    assert instructions <= set(re.findall(r"[\w.]+", text))


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
def test_that_would_be_seen(plain, instruction):
    # The operators that the kernels do without do what these tests look for.
    source = f"template <int> __global__ void plain(const float *in, float *out) {{ {plain} }}"
    assert instruction in broken_promises(ptx(["plain<0>"], source))


@needs_nvrtc
@pytest.mark.parametrize(
    "name",
    [k for key in ("linear", "tanh") for k in _launch.kernels("affine", key) if "Direct" in k],
)
def test_a_thread_reads_and_writes_all_its_lanes_at_once(name):
    type_name, lanes = re.fullmatch(r"affine<\w+, \w+, Direct<(\w+), (\d+)>>", name).groups()
    widths = {"boolean": 1, "float16": 2, "complex64": 8, "complex128": 16}
    width = int(lanes) * (widths.get(type_name) or int(re.search(r"\d+", type_name)[0]) // 8)
    accesses = re.findall(r"(?:ld|st)\.global(?:\.v(\d))?\.\w(\d+)", ptx([name]))
    assert len(accesses) >= 5  # a sample for all sets, or one for each; a weight; a bias; a result
    assert {int(count or 1) * int(bits) // 8 for count, bits in accesses} == {width}
