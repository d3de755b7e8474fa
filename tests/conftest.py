"""Fixtures: the backends that can run here, behind one callable, and shared strategies."""

from __future__ import annotations

import collections
import functools
import itertools
import os
import random
import shutil
import signal

import device
import hypothesis
import numpy as np
import pytest
from device import OnDevice, to_device
from hypothesis import strategies as st

import multisubnet as ms
from multisubnet._arrays import dtypes as _dtypes
from multisubnet._backends import choice
from multisubnet.testing import LAYOUTS, Problem
from multisubnet.testing._strategies import _laid_out

collect_ignore = ["typing"]  # programs for a type checker, some of them wrong

choice._MODULES["host"] = "cuda_on_host"

# Keras uses TensorFlow unless another backend is selected before the import.
os.environ.setdefault("KERAS_BACKEND", "jax")

# Programs that tests start and interrupt would inherit an ignored SIGINT, as in the background of a
# shell.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The number of problems that a property test draws by default. With fewer than four, `few` takes
# only some of long parameter lists; with two, `few` takes a third, `sample` a sixth, and tests that
# are marked `takes_long` are skipped, so that `make test` ends in minutes. Two is the least:
# Hypothesis draws the simplest first.
EXAMPLES = int(os.environ.get("MULTISUBNET_TEST_EXAMPLES", "2"))
ALL_PARAMETERS = 4
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


def examples(share):
    """Return the number of examples for a test that takes a share of the default, at least two."""
    return max(int(EXAMPLES * share), 2)


def few(values, count=3):
    """Return evenly spaced values and both ends; a third with two examples, all with four."""
    values = list(values)
    count = max(count // 3, 2) if EXAMPLES == 2 else count
    if ALL_PARAMETERS <= EXAMPLES or len(values) <= count:
        return values
    return [values[i * (len(values) - 1) // (count - 1)] for i in range(count)]


def combined(*lists):
    """Return all combinations of values; with few examples, only so many that each occurs once."""
    lists = [list(values) for values in lists]
    if ALL_PARAMETERS <= EXAMPLES or not all(lists):
        return list(itertools.product(*lists))
    # Shorter lists begin a place later in each round, so that they do not keep step.
    rows = range(max(map(len, lists)))
    return [tuple(values[(i + i // len(values)) % len(values)] for values in lists) for i in rows]


takes_long = pytest.mark.skipif(EXAMPLES == 2, reason="takes long: MULTISUBNET_TEST_EXAMPLES=3")


def pytest_report_header():
    drawn = f"property tests draw {EXAMPLES} examples"
    if EXAMPLES < ALL_PARAMETERS:
        drawn += ", and some of long lists of parameters; make test-thorough draws many, and all"
    return drawn


def sample(config, items):
    """Keep a sixth of the cases of each test: at least one, or two of those on several backends."""
    cases = collections.defaultdict(list)
    for item in items:
        cases[item.nodeid.split("[")[0]].append(item)
    chosen = set()
    for name, group in cases.items():
        group = [item for item in group if not item.get_closest_marker("skip")] or group
        least = 2 if "backend" in group[0].fixturenames else 1
        count = min(len(group), max(least, len(group) // 6))
        chosen.update(random.Random(name).sample(group, count))
    config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
    items[:] = [item for item in items if item in chosen]


def copy_once(config, items):
    """Keep one case of each test that copies from NumPy; kernels are those of arrays on the GPU."""
    kept, left_out, seen = [], [], set()
    for item in items:
        name = item.nodeid.split("[")[0]
        copies = parameters_of(item).get("backend") == "cupy from numpy"
        (left_out if copies and name in seen else kept).append(item)
        if copies:
            seen.add(name)
    config.hook.pytest_deselected(items=left_out)
    items[:] = kept


@pytest.hookimpl(trylast=True)  # after deselection
def pytest_collection_modifyitems(config, items):
    skip_unavailable(items)
    if EXAMPLES == 2:
        sample(config, items)
    elif EXAMPLES < ALL_PARAMETERS:
        copy_once(config, items)


def parameters_of(item):
    return item.callspec.params if hasattr(item, "callspec") else {}


def skip_unavailable(items):
    """Mark tests of backends that are unavailable; raise if a GPU is there, but not CuPy."""
    unavailable = choice.why_unavailable()
    if unavailable["cupy"] and device.count() and any(x.get_closest_marker("gpu") for x in items):
        raise pytest.UsageError(
            f"there is a GPU, and the tests marked gpu would be skipped: {unavailable['cupy']}; "
            f"deselect them with -m 'not gpu'"
        )
    for item in items:
        names = {"cupy"} if item.get_closest_marker("gpu") else set()
        names |= {parameters_of(item).get("backend")} & {"host", "numba"}
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
    """The library's functions on one backend, with NumPy arrays as arguments and results."""
    return OnGpu() if request.param == "cupy" else OnHost(request.param.split()[0])


class OnHost:
    """Callable as `affine`; its attributes are all functions of the library, on NumPy arrays."""

    def __init__(self, name):
        self.name = name

    def __call__(self, samples, weight, bias=None, **kwargs):
        return self.run(ms.affine, samples, weight, bias, **kwargs)

    def __getattr__(self, name):
        return functools.partial(self.run, getattr(ms, name))

    def run(self, function, *operands, **kwargs):
        with ms.use_backend(self.name):
            return each(function(*operands, **kwargs), self.checked)

    @staticmethod
    def checked(result):
        assert type(result) is np.ndarray
        return result


class OnGpu(OnHost):
    """The same on CuPy arrays; operands are moved to the GPU and results back."""

    def __init__(self):
        super().__init__(None)

    def run(self, function, *operands, out=None, **kwargs):
        operands = [self.moved(x) for x in operands]
        kwargs = {name: self.moved(x) for name, x in kwargs.items()}
        if out is None:
            return each(function(*operands, **kwargs), self.brought_back)
        there = OnDevice(out)
        assert function(*operands, out=there.array, **kwargs) is there.array
        there.bring_back(out)
        return out

    @classmethod
    def moved(cls, operand):
        if isinstance(operand, list | tuple):  # layers, for example
            return type(operand)(map(cls.moved, operand))
        return to_device(operand) if isinstance(operand, np.ndarray) else operand

    @staticmethod
    def brought_back(result):
        import cupy

        assert type(result) is cupy.ndarray
        assert result.flags.c_contiguous
        return result.get()


def each(result, do):
    """Apply a function to each array of a result, which may be a tuple that contains None."""
    if isinstance(result, tuple):
        return tuple(each(x, do) for x in result)
    return None if result is None else do(result)


@st.composite
def normals(draw, dtype, shape, *, special_values=False):
    """Draw an array of normally distributed numbers, whose sums depend on the order."""
    dtype = np.dtype(dtype)
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    array = rng.normal(size=shape) * draw(st.sampled_from([1, 1, 1e-3, 30]))
    with np.errstate(all="ignore"):
        floating = _dtypes.is_floating(dtype)
        array = array.astype(dtype) if floating else np.rint(array * 9).astype(dtype)
    if special_values and floating:
        # bfloat16 has float32's exponents; the largest numbers of float32 round to infinity.
        finfo = np.finfo(np.float32 if _dtypes.is_bfloat16(dtype) else dtype)
        special = [0.0, finfo.smallest_subnormal, finfo.tiny / 3, finfo.max, np.inf, np.nan]
        special = np.outer([1, -1], special).astype(dtype).ravel()
        rare = rng.random(shape) < draw(st.sampled_from([0.002, 0.03, 0.5]))
        array = np.where(rare, rng.choice(special, shape), array)
    return _laid_out(array, draw(st.sampled_from(LAYOUTS)), draw(st.integers(0, len(shape) - 1)))


def labels(loss, numbers):
    """Turn numbers into targets for which a loss is defined; NaN stays NaN."""
    numbers = np.asarray(numbers)
    one, zero = numbers.dtype.type(1), numbers.dtype.type(0)
    with np.errstate(all="ignore"):
        if loss == "hinge":
            minus = one if numbers.dtype.kind in "bu" else numbers.dtype.type(-1)
            signs = np.where(numbers > 0.5, one, minus)
            return np.where(numbers != numbers, numbers, signs)
        if loss == "poisson":
            return np.where(numbers < 0, zero, numbers)
        if loss.startswith("binary_crossentropy"):
            inside = np.where(numbers > 1, one, np.where(numbers < 0, zero, numbers))
            return np.where(numbers != numbers, numbers, inside)
    return numbers


# N, B and F close to the sizes of tiles, groups, lines and runs.
shapes_of_sums = st.tuples(
    st.integers(0, 6) | st.sampled_from([4, 15, 16, 17, 33]),
    st.integers(0, 40) | st.sampled_from([31, 32, 33, 63, 64, 65, 100]),
    st.integers(0, 9) | st.sampled_from([1, 7, 30, 33, 64, 65, 130]),
)


@st.composite
def problems_of_sums(
    draw,
    dtypes,
    shapes=shapes_of_sums,
    *,
    ndim=None,
    has_bias=None,
    shared=None,
    special_values=False,
):
    """Draw operands of functions that compute sums; optional ones may be None.

    `ndim` is that of samples; `shared` names the parameters that all sets share.
    """
    n_sets, n_samples, n_features = draw(shapes)
    shape = (n_sets, n_samples, n_features)[3 - (ndim or draw(st.sampled_from([2, 3]))) :]

    def operand(shape):
        dtype = draw(st.sampled_from(dtypes))
        return draw(normals(dtype, shape, special_values=special_values))

    if has_bias is None:
        has_bias = draw(st.booleans())
    if shared is None:
        shared = draw(st.sets(st.sampled_from(["weight", "bias"])))
    rows = [1 if name in shared else n_sets for name in ("weight", "bias")]
    samples, weight = operand(shape), operand((rows[0], n_features))
    return Problem(samples, weight, operand((rows[1], n_features)) if has_bias else None)


def shape_of(problem):
    """Return (N, B, F)."""
    x, w, b = problem
    lengths = {len(array) for array in (w, b) if array is not None} - {1} or {1}
    return len(x) if x.ndim == 3 else lengths.pop(), *x.shape[-2:]


@pytest.fixture
def cupy_on_host():
    """Replace CuPy by arrays and kernels on the host; gives a list of the launches' streams."""
    import cupy_on_host

    if shutil.which("g++") is None:
        pytest.skip("there is no g++")
    with cupy_on_host.installed() as streams:
        yield streams
