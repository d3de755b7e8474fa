"""What the tests run on: each backend that can run here, behind one callable."""

from __future__ import annotations

import os

import hypothesis
import numpy as np
import pytest
from device import OnDevice, to_device

import multisubnet as ms
from multisubnet import _dispatch

_dispatch._MODULES["host"] = "cuda_on_host"

# How many problems a property test draws, where it does not say so itself.
EXAMPLES = int(os.environ.get("MULTISUBNET_TEST_EXAMPLES", "200"))
hypothesis.settings.register_profile(
    "multisubnet",
    max_examples=EXAMPLES,
    deadline=None,
    derandomize="CI" in os.environ,
    database=None,
    suppress_health_check=[
        hypothesis.HealthCheck.too_slow,
        hypothesis.HealthCheck.function_scoped_fixture,
    ],
)
hypothesis.settings.load_profile("multisubnet")


def pytest_collection_modifyitems(items):
    unavailable = _dispatch.why_unavailable()
    for item in items:
        names = {"cupy"} if item.get_closest_marker("gpu") else set()
        parameters = item.callspec.params if hasattr(item, "callspec") else {}
        names |= {parameters.get("backend")} & {"host", "numba"}
        for name in names:
            if unavailable[name]:
                item.add_marker(pytest.mark.skip(reason=f"{name}: {unavailable[name]}"))


@pytest.fixture(
    params=[
        "numpy",
        "numba",
        "host",
        pytest.param("cupy", marks=pytest.mark.gpu),
        pytest.param("cupy from numpy", marks=pytest.mark.gpu),
    ]
)
def backend(request):
    """A function like `affine` on NumPy arrays, that works on one backend and returns NumPy."""
    if request.param == "cupy":
        return _affine_on_device
    name = request.param.split()[0]

    def affine(samples, weight, bias=None, **kwargs):
        with ms.use_backend(name):
            result = ms.affine(samples, weight, bias, **kwargs)
        assert type(result) is np.ndarray
        return result

    return affine


def _affine_on_device(samples, weight, bias=None, *, out=None, **kwargs):
    import cupy

    operands = [None if x is None else to_device(x) for x in (samples, weight, bias)]
    if out is None:
        result = ms.affine(*operands, **kwargs)
        assert type(result) is cupy.ndarray
        assert result.flags.c_contiguous
        return result.get()
    there = OnDevice(out)
    assert ms.affine(*operands, out=there.array, **kwargs) is there.array
    there.bring_back(out)
    return out
