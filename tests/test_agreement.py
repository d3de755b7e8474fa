"""Every backend equals the formula bit for bit, on problems drawn by Hypothesis."""

from __future__ import annotations

import formula
import numpy as np
import pytest
import tiles
from conftest import EXAMPLES, examples
from hypothesis import example, given, settings
from hypothesis import strategies as st

import multisubnet as ms
from multisubnet.testing import DTYPES, Problem, assert_same_bits, problems

set_axes = st.sampled_from([0, 1])


def normals(dtype, n_sets, n_samples, n_features):
    """Return a problem in which nearly every rounding matters, which is rare in drawn values."""
    rng = np.random.default_rng(0)
    shapes = [(n, n_features) for n in (n_samples, n_sets, n_sets)]
    if np.dtype(dtype).kind == "c":
        pairs = (rng.normal(size=(*shape, 2)).view(complex) for shape in shapes)
        return Problem(*(pair[..., 0].astype(dtype) for pair in pairs))
    return Problem(*(rng.normal(size=x).astype(dtype) for x in shapes))


@settings(max_examples=10 * EXAMPLES)
@given(problem=problems() | problems(mixed_dtypes=True), set_axis=set_axes)
@example(problem=normals("float32", 5, 3, 4), set_axis=0)  # runs of less than 64 bytes
@example(problem=normals("float32", 5, 30, 7), set_axis=1)
@example(problem=normals("complex64", 5, 30, 7), set_axis=0)
def test_affine(backend, problem, set_axis):
    result = backend(*problem, set_axis=set_axis)
    assert result.flags.c_contiguous
    assert_same_bits(result, formula.affine(*problem, set_axis=set_axis))


@settings(max_examples=examples(1 / 2))
@given(
    problem=problems(max_sets=40, max_samples=70, max_features=300),
    set_axis=set_axes,
    data=st.data(),
)
def test_affine_past_every_block(backend, problem, set_axis, data):
    # With few blocks per card and few threads per block, threads walk over many sets, and vectors
    # of features that repeat soon belong to several rows.
    with tiles.small(data.draw):
        result = backend(*problem, set_axis=set_axis)
    assert_same_bits(result, formula.affine(*problem, set_axis=set_axis))


@given(problem=problems(dtypes=["float32", "float64"], layouts=["contiguous"], max_features=12))
def test_affine_of_one_set_is_its_part_of_all(backend, problem):
    together = backend(*problem)
    for n in range(len(together)):
        assert_same_bits(together[n : n + 1], backend(*problem.of_set(n)))


@st.composite
def outs(draw, shape, dtype):
    """Draw an `out`, and the array that it is a part of."""
    castable = [d for d in DTYPES if np.can_cast(dtype, d, "same_kind")]
    out_dtype = np.dtype(draw(st.sampled_from(castable)))
    if draw(st.booleans()):
        out_dtype = out_dtype.newbyteorder("S")
    parts = [draw(st.sampled_from([(0, 1), (1, 1), (3, 2), (0, -1)])) for _ in shape]
    lengths = [
        first + length * abs(step) for length, (first, step) in zip(shape, parts, strict=True)
    ]
    order = draw(st.permutations(range(len(shape))))
    whole = np.zeros([lengths[axis] for axis in order], out_dtype).transpose(np.argsort(order))
    whole[...] = 42
    part = tuple(
        slice(first, None, step) if step > 0 else slice(None, None, step) for first, step in parts
    )
    return whole, part


@given(
    data=st.data(),
    problem=problems(max_features=40) | problems(mixed_dtypes=True),
    set_axis=set_axes,
)
def test_affine_into_out(backend, data, problem, set_axis):
    desired = formula.affine(*problem, set_axis=set_axis)
    whole, part = data.draw(outs(desired.shape, desired.dtype))
    expected = whole.copy()
    with np.errstate(all="ignore"):
        expected[part] = desired
    out = whole[part]
    assert backend(*problem, set_axis=set_axis, out=out) is out
    assert_same_bits(whole, expected)


@pytest.fixture(params=["numpy", pytest.param("cupy", marks=pytest.mark.gpu)])
def xp(request):
    """The module of an array type."""
    return pytest.importorskip(request.param)


@given(
    sets=st.integers(1, 4),
    samples=st.integers(1, 9),
    features=st.integers(1, 20),
    shift=st.integers(-8, 8),
    operand=st.sampled_from(["samples", "all samples", "weight", "bias"]),
    step=st.sampled_from([1, -1]),
    set_axis=set_axes,
    dtype=st.sampled_from(["float32", "complex64"]),
    block=st.sampled_from([8, 1 << 15]),
)
def test_affine_into_out_that_overlaps_an_operand(
    xp, sets, samples, features, shift, operand, step, set_axis, dtype, block
):
    memory = xp.asarray(np.arange(1.0, 2000.0).astype(dtype))
    rng = np.random.default_rng(0)
    shapes = {"samples": (samples, features), "weight": (sets, features), "bias": (sets, features)}
    if operand == "all samples":
        operand, shapes["samples"] = "samples", (sets, samples, features)
    host = {name: rng.normal(size=shape).astype(dtype) for name, shape in shapes.items()}
    desired = formula.affine(**host, set_axis=set_axis)
    size = sets * samples * features
    out = memory[8 : 8 + size][::step].reshape(desired.shape)
    shape = shapes[operand]
    inside = memory[8 + shift : 8 + shift + int(np.prod(shape))].reshape(shape)
    inside[...] = xp.asarray(host[operand])
    operands = {name: xp.asarray(array) for name, array in host.items()} | {operand: inside}
    with tiles.of(numpy_block=block):
        assert ms.affine(**operands, set_axis=set_axis, out=out) is out
    assert_same_bits(out, desired)


@pytest.mark.large
@pytest.mark.parametrize("name", ["samples", "weight", "bias", "out"])
def test_affine_beyond_32_bit_offsets(backend, name):
    # Two sets (or samples) more than 2^31 bytes apart; pages between them are never touched.
    far = (1 << 31) + 16
    memory = np.empty(far + 1024, np.int8)

    def spread(shape, axis):
        strides = [8] * len(shape)
        strides[-1] = 1
        strides[axis] = far
        return np.lib.stride_tricks.as_strided(memory, shape, strides)

    rng = np.random.default_rng(0)
    operands = {
        "samples": rng.integers(-9, 9, (2, 1, 8), np.int8),
        "weight": rng.integers(-9, 9, (2, 8), np.int8),
        "bias": rng.integers(-9, 9, (2, 8), np.int8),
    }
    desired = formula.affine(**operands)
    if name == "out":
        result = backend(**operands, out=spread((2, 1, 8), 0))
    else:
        distant = spread(operands[name].shape, 0)
        distant[...] = operands[name]
        result = backend(**operands | {name: distant})
    assert_same_bits(result, desired)
