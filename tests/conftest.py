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
    """The library's functions on one backend, that take and return NumPy arrays."""
    return OnGpu() if request.param == "cupy" else OnHost(request.param.split()[0])


class OnHost:
    """A function like `affine`, and as attributes the others, on NumPy arrays."""

    def __init__(self, name):
        self.name = name

    def __call__(self, samples, weight, bias=None, **kwargs):
        return self.run(ms.affine, samples, weight, bias, **kwargs)

    def affine_select(self, samples, weight, bias, set_index, **kwargs):
        return self.run(ms.affine_select, samples, weight, bias, set_index, **kwargs)

    def run(self, function, *operands, **kwargs):
        with ms.use_backend(self.name):
            result = function(*operands, **kwargs)
        assert type(result) is np.ndarray
        return result


class OnGpu(OnHost):
    """The same on CuPy arrays, made of NumPy arrays and brought back."""

    def __init__(self):
        super().__init__(None)

    def run(self, function, *operands, out=None, **kwargs):
        import cupy

        operands = [None if x is None else to_device(x) for x in operands]
        if out is None:
            result = function(*operands, **kwargs)
            assert type(result) is cupy.ndarray
            assert result.flags.c_contiguous
            return result.get()
        there = OnDevice(out)
        assert function(*operands, out=there.array, **kwargs) is there.array
        there.bring_back(out)
        return out
