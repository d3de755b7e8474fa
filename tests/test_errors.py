"""Bad input: one error names the argument, its value and what was expected."""

from __future__ import annotations

import numpy as np
import pytest

import multisubnet as ms

SAMPLES, WEIGHT, BIAS = np.ones((3, 4)), np.ones((5, 4)), np.ones((5, 4))


@pytest.mark.parametrize(
    ("operands", "message"),
    [
        ((np.ones(4), WEIGHT), r"samples has shape \(4,\); expected \(B, F\) or \(N, B, F\)"),
        ((np.ones((1, 2, 3, 4)), WEIGHT), r"samples has shape \(1, 2, 3, 4\)"),
        ((1.0, WEIGHT), r"samples has shape \(\)"),
        ((SAMPLES, np.ones(4)), r"weight has shape \(4,\); expected \(N, F\).*F = 4"),
        ((SAMPLES, np.ones((5, 3))), r"weight has shape \(5, 3\); expected \(N, F\).*F = 4"),
        ((SAMPLES, np.ones((5, 1))), r"weight has shape \(5, 1\)"),
        (([np.ones((7, 1))] * 6, WEIGHT), r"N = 6 and F = 1 from samples of shape \(6, 7, 1\)$"),
        ((SAMPLES, WEIGHT, np.ones((5, 3))), r"bias has shape \(5, 3\).*N = 5 and F = 4"),
        ((SAMPLES, WEIGHT, np.ones((6, 4))), r"bias.*N = 5.* from samples of .* and weight of"),
        ((SAMPLES, WEIGHT, np.ones(4)), r"bias has shape \(4,\)"),
        ((SAMPLES, WEIGHT, 1.0), r"bias has shape \(\)"),
        ((np.ones((2, 3, 4)), WEIGHT), r"weight has shape \(5, 4\).*N = 2"),
        ((np.ones((1, 3, 4)), WEIGHT), r"weight has shape \(5, 4\).*N = 1"),
        ((np.ones((1, 3, 4)), WEIGHT[:1], BIAS), r"bias has shape \(5, 4\).*N = 1"),
        (([[1, 2], [3]], WEIGHT), "samples is not an array_like of numbers"),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_shapes(operands, message):
    with pytest.raises(ValueError, match=message):
        ms.affine(*operands)


@pytest.mark.parametrize(
    ("operand", "dtype"),
    [
        (np.ones((3, 4), object), "object"),
        (np.full((3, 4), "a"), "<U1"),
        (np.full((3, 4), b"a"), r"\|S1"),
        (np.zeros((3, 4), "M8[s]"), "datetime64"),
        (np.zeros((3, 4), "m8[s]"), "timedelta64"),
        (np.zeros((3, 4), "f4,f4"), "f4"),
        ([[None] * 4], "object"),
        ([[10**30] * 4], "object"),
    ],
    ids=str,
)
@pytest.mark.parametrize("name", ["samples", "weight", "bias"])
def test_dtypes(name, operand, dtype):
    operands = {"samples": SAMPLES, "weight": SAMPLES, "bias": SAMPLES}
    with pytest.raises(TypeError, match=f"{name} has dtype.*{dtype}.*expected bool, an integer"):
        ms.affine(**operands | {name: operand})


def test_a_mask_is_not_lost_in_silence():
    with pytest.raises(TypeError, match="samples is a masked array"):
        ms.affine(np.ma.masked_equal(SAMPLES, 0), WEIGHT)
    with pytest.raises(TypeError, match="weight is a masked array"):
        ms.affine(SAMPLES, [np.ma.masked_equal(SAMPLES[0], 0)])
    with pytest.raises(TypeError, match=r"out must be a numpy\.ndarray, not MaskedArray"):
        ms.affine(SAMPLES, WEIGHT, out=np.ma.zeros((5, 3, 4)))


@pytest.mark.parametrize("set_axis", [2, -1, None, "0", 1.0, np.array([0, 1])], ids=str)
def test_set_axis(set_axis):
    with pytest.raises(ValueError, match=r"set_axis must be 0 or 1, not"):
        ms.affine(SAMPLES, WEIGHT, set_axis=set_axis)


def locked(array):
    array.flags.writeable = False
    return array


@pytest.mark.parametrize(
    ("out", "kwargs", "error", "message"),
    [
        (
            np.full((3, 5, 4), 7.0),
            {},
            ValueError,
            r"out has shape \(3, 5, 4\); expected \(5, 3, 4\)",
        ),
        (np.full((5, 3, 4), 7.0), {"set_axis": 1}, ValueError, r"expected \(3, 5, 4\)"),
        (np.full((1, 5, 3, 4), 7.0), {}, ValueError, r"expected \(5, 3, 4\)"),
        (np.full((5, 3, 4), 7), {}, TypeError, "out has dtype int64.*float64.*'same_kind'"),
        (np.full((5, 3, 4), False), {}, TypeError, "out has dtype bool"),
        (np.full((5, 3, 4), 7, object), {}, TypeError, "out has dtype object"),
        (
            np.lib.stride_tricks.as_strided(np.full(12, 7.0), (5, 3, 4), (0, 32, 8)),
            {},
            ValueError,
            "out has elements that share memory",
        ),
        (locked(np.full((5, 3, 4), 7.0)), {}, ValueError, "out is read-only"),
        (np.full((5, 3, 4), 7.0), {"bias": np.ones((4, 4))}, ValueError, "bias has shape"),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_out_is_refused_before_anything_is_written(out, kwargs, error, message):
    before = out.copy()
    with pytest.raises(error, match=message):
        ms.affine(SAMPLES, WEIGHT, out=out, **kwargs)
    assert (out == before).all()


def test_out_must_be_an_array():
    with pytest.raises(TypeError, match=r"out must be a numpy\.ndarray, not list"):
        ms.affine(SAMPLES, WEIGHT, out=[])


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["samples", "weight", "bias", "out"])
def test_host_and_device_arrays_do_not_mix(name):
    import cupy

    here = {"samples": SAMPLES, "weight": WEIGHT, "bias": BIAS, "out": np.zeros((5, 3, 4))}
    there = {key: cupy.asarray(array) for key, array in here.items()}
    advice = rf"cupy\.asarray\({name}\) or cupy\.asnumpy"
    with pytest.raises(TypeError, match=rf"is on the GPU and {name} \(ndarray\) is not.*{advice}"):
        ms.affine(**there | {name: here[name]})
    assert not here["out"].any()


@pytest.mark.gpu
def test_a_sequence_is_not_moved_to_the_gpu_in_silence():
    import cupy

    with pytest.raises(TypeError, match=r"samples is on the GPU and weight \(list\) is not"):
        ms.affine(cupy.ones((1, 2)), [[1, 2]])


@pytest.mark.gpu
def test_device_arrays_of_two_devices_do_not_mix():
    import cupy

    if cupy.cuda.runtime.getDeviceCount() < 2:
        pytest.skip("needs two GPUs")
    with cupy.cuda.Device(1):
        weight = cupy.ones((5, 4))
    with pytest.raises(TypeError, match="samples is on GPU 0 but weight is on GPU 1"):
        ms.affine(cupy.ones((3, 4)), weight)
    with cupy.cuda.Device(0):
        assert ms.affine(weight, weight).device.id == 1


@pytest.mark.gpu
def test_a_gpu_array_of_foreign_byte_order():
    import cupy

    weight = cupy.ones((5, 4), np.float32).view(">f4")
    with pytest.raises(TypeError, match="weight has dtype >f4 in a byte order that is not"):
        ms.affine(cupy.ones((3, 4), np.float32), weight)


@pytest.mark.gpu
def test_a_gpu_array_between_multiples_of_its_itemsize():
    import cupy

    weight = cupy.zeros(161, cupy.uint8)[1:].view(cupy.float64).reshape(5, 4)
    with pytest.raises(ValueError, match="weight is not aligned to the 8 bytes"):
        ms.affine(cupy.ones((3, 4)), weight)
