"""The CPU engine: its paths forced on small problems, threads, caches, machine code."""

from __future__ import annotations

import contextlib
import math
import multiprocessing
import platform
import re
import sys
import threading
import types
import zlib
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from unittest import mock

import formula
import golden
import numpy as np
import pytest
import rooms
import tiles
from conftest import combined, takes_long
from hypothesis import example, given
from hypothesis import strategies as st
from test_dispatch import run
from test_inputs import peak, set_flush_to_zero

import multisubnet as ms
from multisubnet._arithmetic.summands import Summands
from multisubnet._backends.numba import threads as _threads
from multisubnet.testing import Problem, assert_same_bits, problems

numba = pytest.importorskip("numba")

from multisubnet._backends.numba import engine, jit, sum_layout, sum_loops  # noqa: E402
from multisubnet._backends.numba.llvm import programs  # noqa: E402


@contextlib.contextmanager
def forced(**sizes):
    """Use the engine with smaller thresholds."""
    sizes = {f"engine_{name}": size for name, size in sizes.items()}
    with tiles.of(**sizes), ms.use_backend("numba"):
        yield


@pytest.fixture(autouse=True)
def three_threads(monkeypatch):
    monkeypatch.setenv("MULTISUBNET_NUM_THREADS", "3")
    monkeypatch.setattr(_threads, "_count_cores", lambda: 3)
    monkeypatch.setattr(_threads, "kind", lambda size, *what: 0)  # all work is shared


paths = st.fixed_dictionaries(
    {
        "small": st.just(0),
        "streamed": st.sampled_from([0, 1 << 60]),
        "piece": st.sampled_from([64, 1000, 1 << 60]),
        "reused": st.sampled_from([256, 1 << 18]),
        "block": st.sampled_from([50, 1 << 14]),
    }
)
DTYPES = ["bool", "int8", "uint16", "int32", "uint64", "float32", "float64"]


@given(
    problem=problems(dtypes=DTYPES, max_sets=20, max_samples=60, max_features=150)
    | problems(dtypes=DTYPES, max_sets=300, max_samples=4, max_features=9)
    | problems(dtypes=DTYPES, max_sets=4, max_samples=300, max_features=5)
    | problems(dtypes=["int8", "float64"], max_sets=3, max_samples=6, max_features=3000),
    set_axis=st.sampled_from([0, 1]),
    sizes=paths,
)
@example(
    problem=Problem(*np.random.default_rng(0).normal(size=(3, 3, 1999)).astype("f4")),
    set_axis=0,
    sizes={"small": 0, "streamed": 1 << 60, "piece": 64, "reused": 1 << 18, "block": 1 << 14},
)
def test_every_path(problem, set_axis, sizes):
    with forced(**sizes):
        result = ms.affine(*problem, set_axis=set_axis)
    assert_same_bits(result, formula.affine(*problem, set_axis=set_axis))


@given(
    problem=problems(dtypes=DTYPES, layouts=["contiguous"], max_samples=20, max_features=40),
    set_axis=st.sampled_from([0, 1]),
    offset=st.integers(0, 70),
    sizes=paths,
)
def test_every_place_of_the_result(problem, set_axis, offset, sizes):
    # For any start and end of the result in a cache line, its neighbours stay unchanged.
    desired = formula.affine(*problem, set_axis=set_axis)
    memory = np.full(desired.size + 200, 1, desired.dtype)
    expected = memory.copy()
    part = slice(offset, offset + desired.size)
    expected[part] = desired.reshape(-1)
    with forced(**sizes):
        ms.affine(*problem, set_axis=set_axis, out=memory[part].reshape(desired.shape))
    assert_same_bits(memory, expected)


def test_in_place():
    samples = np.random.default_rng(0).normal(size=(40, 100, 33)).astype(np.float32)
    weight = np.random.default_rng(1).normal(size=(40, 33)).astype(np.float32)
    desired = formula.affine(samples, weight, weight)
    for streamed in (0, 1 << 60):
        out = samples.copy()
        with forced(streamed=streamed, small=0, piece=1000):
            assert ms.affine(out, weight, weight, out=out) is out
        assert_same_bits(out, desired)


ODD_ARRAYS = """
import numpy as np, multisubnet as ms
ms.set_backend("numba")
one = np.ones((1, 1), np.uint16)
read_only = one.copy()
read_only.flags.writeable = False
unaligned = np.zeros(3, np.uint8)[1:].view(np.uint16).reshape(1, 1)
unaligned[...] = 1
swapped = one.astype(">u2")
for odd in {order}:
    print(ms.affine(one, odd, odd).item(), ms.affine(odd, one).item())
"""


@pytest.mark.parametrize(
    "order", ["[unaligned, swapped, read_only]", "[read_only, unaligned, swapped]"]
)
def test_arrays_that_numba_confuses(order):
    # After a read-only array, Numba treats other byte orders as native.
    assert run(ODD_ARRAYS.format(order=order)).split() == ["2", "1"] * 3


ODD_ARRAYS_OF_SUMS = """
import numpy as np, multisubnet as ms
ms.set_backend("numba")
one = np.ones((1, 1), np.float32)
read_only = one.copy()
read_only.flags.writeable = False
unaligned = np.zeros(5, np.uint8)[1:].view(np.float32).reshape(1, 1)
unaligned[...] = 1
swapped = one.astype(">f4")
for odd in {order}:
    for loss in ("squared_error", "huber"):
        print(ms.mean_loss(odd, odd, odd, odd, loss=loss, sample_weight=odd[0]).item())
    print(*(x.item() for x in ms.affine_vjp(odd, odd, odd, odd[None])))
    print(ms.affine_stats(odd, odd, odd, set_weight=odd[0])[0].item())
"""


@pytest.mark.parametrize(
    "order", ["[unaligned, swapped, read_only]", "[read_only, unaligned, swapped]"]
)
def test_sums_of_arrays_that_numba_confuses(order):
    printed = run(ODD_ARRAYS_OF_SUMS.format(order=order)).split()
    assert printed == ["1.0", "0.5", "1.0", "1.0", "1.0", "2.0"] * 3


@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize("name", ["weight", "bias"])
def test_out_exactly_over_weight_or_bias(backend, name):
    rng = np.random.default_rng(0)
    operands = {key: rng.normal(size=(4, 9)) for key in ("weight", "bias")}
    operands["samples"] = rng.normal(size=(1, 9))
    desired = formula.affine(**operands)
    out = operands[name][:, None]
    with ms.use_backend(backend):
        ms.affine(**operands, out=out)
    assert_same_bits(out, desired)


LARGE = [
    np.random.default_rng(i).normal(size=s).astype("f4") for i, s in enumerate([(500, 64)] * 3)
]


def large_hash(_=None):
    with ms.use_backend("numba"):
        return zlib.crc32(ms.affine(*LARGE))  # 64 MB, in a moment


def hash_of_sums(_=None):
    with ms.use_backend("numba"):
        return hash_of_sums_by(ms)


def hash_of_sums_by(functions):
    samples, weight, bias = LARGE
    parameters = weight[:100], bias[:100]
    losses = {"loss": "huber", "activation": "tanh"}
    results = [
        *functions.mean_loss_and_grad(samples, *parameters, bias, **losses),
        *functions.mean_loss_and_grad(samples, *parameters, bias),
        *functions.affine_stats(samples, *parameters),
    ]
    return " ".join(map(golden.digest, results))


@pytest.fixture(scope="module", params=[large_hash, hash_of_sums])
def call(request):
    """A function that works on several threads and returns a hash of results; and that hash."""
    if request.param is hash_of_sums:
        return hash_of_sums, hash_of_sums_by(formula)
    return large_hash, zlib.crc32(formula.affine(*LARGE))


SUMS_OF_ONE_LOSS = """
import hashlib, sys, numpy as np, multisubnet as ms
ms.set_backend("numba")
x = np.linspace(-2, 2, 640, dtype="f4").reshape(10, 64)
for loss in sys.argv[1].split():
    print(hashlib.md5(ms.mean_loss(x, x[:3], None, x * 0, loss=loss)).hexdigest())
"""


@takes_long
def test_sums_that_several_processes_compiled_are_told_apart(tmp_path):
    def hashes(losses):
        program = SUMS_OF_ONE_LOSS.replace("sys.argv[1]", repr(losses))
        return run(program, NUMBA_CACHE_DIR=str(tmp_path)).split()

    desired = hashes("absolute_error") + hashes("huber")
    assert desired[0] != desired[1]
    assert hashes("absolute_error huber") == desired
    assert hashes("huber absolute_error") == desired[::-1]


def test_many_threads_may_call_at_once(call):
    function, desired = call
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(function, range(24))) == {desired}


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_processes_started_while_the_threads_are_there(method, call):
    function, desired = call
    assert function() == desired
    with multiprocessing.get_context(method).Pool(2) as pool:
        assert set(pool.map(function, range(4))) == {desired}


@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_workers_of_joblib(backend, call):
    joblib = pytest.importorskip("joblib")
    function, desired = call
    with joblib.parallel_config(backend, n_jobs=2):
        hashes = joblib.Parallel()(joblib.delayed(function)() for _ in range(4))
    assert set(hashes) == {desired}


def test_workers_of_dask(call):
    dask = pytest.importorskip("dask")
    function, desired = call
    tasks = [dask.delayed(function)(i) for i in range(4)]
    assert set(dask.compute(*tasks, scheduler="threads")) == {desired}


def test_worker_threads_keep_subnormals_whatever_their_first_caller_did():
    tiny = np.full((300, 64), 1e-40, np.float32)
    results = []

    def flushing():
        set_flush_to_zero()
        with forced(piece=1000):
            results.append(ms.affine(tiny, tiny[:100] * 0 + 0.5))

    with mock.patch.object(_threads, "_pool", None):  # threads inherit the mode of their parent
        thread = threading.Thread(target=flushing)
        thread.start()
        thread.join()
        with forced(piece=1000):
            results.append(ms.affine(tiny, np.full((100, 64), 0.5, np.float32)))
    assert all(result.all() for result in results)


@pytest.mark.parametrize("piece", [1, 1 << 60])
def test_sums_keep_subnormals_whatever_their_caller_does(piece):
    tiny = np.full((300, 64), 1e-40, np.float32)
    operands = tiny, np.full((100, 64), 0.5, np.float32), None
    targets, cotangent = 0 * tiny, tiny[:100, None].repeat(300, axis=1)
    results = []

    def flushing():
        set_flush_to_zero()
        both()

    def both():
        with ms.use_backend("numba"), tiles.of(engine_sum=piece):
            results.append(ms.mean_loss(*operands, targets, loss="absolute_error"))
            results.append(ms.affine_vjp(*operands, cotangent, wrt="samples")[0])

    with mock.patch.object(_threads, "_pool", None):  # threads inherit the mode of their parent
        thread = threading.Thread(target=flushing)
        thread.start()
        thread.join()
        both()
    assert len(results) == 4
    desired = formula.mean_loss(*operands, targets, loss="absolute_error")
    desired = [desired, formula.affine_vjp(*operands, cotangent, wrt="samples")[0]] * 2
    for one, other in zip(results, desired, strict=True):
        assert one.all()
        assert_same_bits(one, other)


def test_an_error_in_a_piece_reaches_the_caller_and_stops_the_others():
    done = []

    def work(piece):
        if piece == 7:
            raise KeyError(piece)
        done.append(piece)

    with pytest.raises(KeyError):
        _threads.run(work, ((i,) for i in range(100000)), 3)
    assert 7 not in done
    assert len(done) < 100000


def test_an_error_in_another_thread_reaches_the_caller():
    both = threading.Barrier(2, timeout=60)
    caller = threading.current_thread()

    def work(piece):
        both.wait()
        if threading.current_thread() is not caller:
            raise KeyError(piece)

    with mock.patch.object(_threads, "_pool", None), pytest.raises(KeyError):
        _threads.run(work, [(0,), (1,)], 2)


def test_a_caller_works_alone_if_no_thread_can_start():
    done = []
    with (
        mock.patch.object(_threads, "_pool", None),
        mock.patch.object(threading.Thread, "start", side_effect=RuntimeError),
    ):
        _threads.run(done.append, ((i,) for i in range(10)), 3)
    assert done == list(range(10))


def test_the_interpreter_may_exit_while_threads_look_out_for_more():
    code = (
        "import atexit\n"
        "def late(): print(_threads._is_exiting, ms.affine(x, x[:9]).size)\n"
        "atexit.register(late)\n"
        "import numpy as np, multisubnet as ms\n"
        "from multisubnet._backends.numba import threads as _threads\n"
        "_threads._SPIN = 1 << 62\n"
        "_threads._count_cores = lambda: 3\n"
        "ms.set_backend('numba')\n"
        "x = np.ones((2000, 64), np.float32)\n"
        "ms.affine(x, x[:9])\n"
        "print(len(_threads._pool._threads))\n"
    )
    output = run(code, MULTISUBNET_NUM_THREADS="3")
    assert output.split() == ["2", "True", str(2000 * 64 * 9)]


def test_how_many_threads(monkeypatch):
    assert _threads.count(100) == 3
    assert _threads.count(2) == 2
    assert _threads.count(0) == 1
    for nonsense in ("0", "-1", "two", "1.5"):
        monkeypatch.setenv("MULTISUBNET_NUM_THREADS", nonsense)
        with pytest.raises(
            ValueError, match=f"MULTISUBNET_NUM_THREADS must be .* not '{nonsense}'"
        ):
            _threads.limit()
    monkeypatch.setenv("MULTISUBNET_NUM_THREADS", "1000000000")
    assert _threads.limit() == 3
    monkeypatch.undo()
    monkeypatch.delenv("MULTISUBNET_NUM_THREADS", raising=False)
    assert _threads.limit() == min(numba.config.NUMBA_NUM_THREADS, _threads._count_cores())
    monkeypatch.setitem(sys.modules, "numba", types.ModuleType("numba"))  # while it is imported
    assert _threads.limit() == _threads._count_cores()
    code = (
        "import numba; numba.set_num_threads(1)\n"
        "from multisubnet._backends.numba import threads as _threads; print(_threads.limit())"
    )
    assert run(code, NUMBA_NUM_THREADS="2", MULTISUBNET_NUM_THREADS="") == "1"


@pytest.mark.parametrize("out_dtype", ["f4", "f8", "f2", ">f4"])
def test_memory_besides_the_result(out_dtype):
    samples = np.ones((2000, 2000), ">f4")[:, ::2]
    weight, bias = np.ones((4, 1000), np.float32), np.ones((4, 1000), np.int16)
    out = np.empty((4, 2000, 1000), out_dtype)
    with ms.use_backend("numba"):
        ms.affine(samples[:1], weight, bias)
        assert peak(lambda: ms.affine(samples, weight, bias, out=out)) < 1 << 20


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_no_bias_differs_from_a_bias_of_zero(backend):
    zeros, weight = np.zeros((3, 2)), -np.ones((4, 2))
    with ms.use_backend(backend):
        _, grad_weight, _ = ms.mean_loss_and_grad(zeros, weight, None, zeros)
    assert_same_bits(grad_weight, np.full((4, 2), -0.0))


AUTOMATIC = """
import sys, numpy as np, multisubnet as ms
from multisubnet._backends.numba import handover
handover._LOADING = handover._COMPILING = 2e7
small = np.ones((2, 2), np.float32)
for _ in range(10000):
    ms.affine(small, small)
print("numba" in sys.modules)
large = np.ones((1 << 12, 1 << 6), np.float32)
for _ in range(2):
    result = ms.affine(large, large[:64])
print("numba" in sys.modules, (result == 1).all())
"""


AUTOMATIC_SUMS = """
import sys, numpy as np, multisubnet as ms
from multisubnet._backends.numba import handover
handover._LOADING = handover._COMPILING = 2e7
small = np.ones((2, 2), np.float32)
for _ in range(1000):
    ms.mean_loss(small, small, small, small, loss="huber")
print("numba" in sys.modules)
large = np.ones((1 << 12, 1 << 4), np.float32)
for _ in range(2):
    ms.mean_loss(large, large, None, large)  # of 2^16 elements, since there is a closed form
print("numba" in sys.modules)
for _ in range(2):
    result = ms.mean_loss(large, large[:64], None, large, loss="huber")
print("numba" in sys.modules, (result == 0).all())
"""


def test_the_engine_is_loaded_when_it_pays_off():
    assert run(AUTOMATIC).split() == ["False", "True", "True"]
    assert run(AUTOMATIC_SUMS).split() == ["False", "False", "True", "True"]
    assert run(AUTOMATIC, MULTISUBNET_BACKEND="numpy").split() == ["False", "False", "True"]


def test_a_broken_numba_leaves_numpy(tmp_path):
    (tmp_path / "numba.py").write_text("raise SystemError('initialization failed')")
    code = AUTOMATIC + "print(ms.show_config('dicts')['Backends']['numba'])"
    printed = run(code, PYTHONPATH=str(tmp_path))
    assert "importing Numba failed: SystemError: initialization failed" in printed


FIRST_CALL = """
import numpy as np, multisubnet as ms
with ms.use_backend("numba"):
    print(ms.affine(np.float32([[3]]), np.float32([[2]])).tolist())
"""


def test_a_missing_or_damaged_cache_does_not_matter(tmp_path):
    assert run(FIRST_CALL, NUMBA_CACHE_DIR=str(tmp_path)) == "[[[6.0]]]"
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    for path in files:
        path.write_bytes(path.read_bytes()[:100])
    assert run(FIRST_CALL, NUMBA_CACHE_DIR=str(tmp_path)) == "[[[6.0]]]"
    nowhere = "/proc/nowhere"
    assert run(FIRST_CALL, NUMBA_CACHE_DIR=nowhere, HOME=nowhere, XDG_CACHE_HOME=nowhere) == (
        "[[[6.0]]]"
    )


@pytest.mark.parametrize(
    "evaluate",
    [
        "affine_loops.compiled('affine', np.dtype('f4'), 'tanh', False)",
        "sum_loops.compiled_sums(Summands.of_key('huber tanh loss'), np.dtype('f4'), 'shhs-')",
    ],
)
def test_the_cache_is_used_and_notices_a_change(tmp_path, evaluate):
    code = (
        "from pathlib import Path\n"
        "from multisubnet._backends.numba import affine_loops, jit, sum_loops; {}\n"
        "from multisubnet._arithmetic.summands import Summands\n"
        f"import numpy as np; evaluate = {evaluate}\n"
        "print(sum(evaluate.stats.cache_hits.values()))"
    )
    environment = {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    assert run(code.format(""), **environment) == "0"
    assert run(code.format(""), **environment) == "1"
    (tmp_path / "changed.py").write_text("# another version of what is compiled in")
    changed = f"jit.FILES[-1] = Path({str(tmp_path / 'changed.py')!r})"
    assert run(code.format(changed), **environment) == "0"
    # Each has its own index: processes that add to the same one mix up its entries.
    assert len(list((tmp_path / "cache").rglob("*.nbi"))) == 2


def test_the_cache_notices_a_changed_byte_in_each_file(tmp_path, monkeypatch):
    def fingerprint():
        jit._fingerprint_of_files.cache_clear()
        return jit.fingerprint()

    found = {fingerprint()}
    for i, file in enumerate(jit.FILES):
        changed = tmp_path / file.name
        changed.write_bytes(file.read_bytes()[:-1] + b"#")
        with monkeypatch.context() as patched:
            patched.setattr(jit, "FILES", [*jit.FILES[:i], changed, *jit.FILES[i + 1 :]])
            found.add(fingerprint())
    jit._fingerprint_of_files.cache_clear()
    assert len(found) == 1 + len(jit.FILES)


# They only make programs, which are part of fingerprints.
OF_PROGRAMS = {"activation", "activation_recipes", "coefficients", "elementary", "loss_recipes"}


def test_the_cache_knows_of_each_file_that_code_is_made_from():
    package = Path(ms.__file__).parent
    room = package / "_backends" / "numba"
    known = {*jit.FILES, *(package / "_arithmetic" / f"{name}.py" for name in OF_PROGRAMS)}
    loops = {*room.glob("*_loops.py"), room / "pool.py"}
    reached, to_do = set(), list(loops)
    while to_do:
        reached.add(file := to_do.pop())
        for module in rooms.imports_of(file):
            if module.is_relative_to(package) and module not in reached:
                to_do.append(module)
    of_compiling = {room / "jit.py", room / "loading.py"}
    assert reached - loops - known - of_compiling == set()


GENERIC = """
import sys; sys.path[:0] = sys.argv[1:]
import json, golden, multisubnet as ms
from conftest import few
from multisubnet._backends.numba import engine as _numba
committed = json.loads(golden.FILE.read_text())
golden.ACTIVATIONS, golden.LOSSES = golden.ACTIVATIONS[2::7], golden.LOSSES[::3]
names = [x for x in golden.table() if "float16" not in x]
for _numba._STREAMED in (0, 1 << 60):
    _numba._SMALL = 0
    with ms.use_backend("numba"):
        assert golden.table(names=few(names, 8)).items() <= committed.items()
print("same bits")
"""


def operations(activations):
    """Return the operations in the recipes of some activations, in float32."""
    programs = [x.program(np.dtype("f4")) for x in activations if x.name != "linear"]
    return {(x.name, x.kind) for program in programs for x in program.operations}


@takes_long
def test_a_processor_without_wide_vectors():
    # Some activations and losses suffice: they use all operations.
    assert operations(golden.ACTIVATIONS[2::7]) == operations(golden.ACTIVATIONS)
    paths = f"import sys; sys.path.insert(0, {str(golden.FILE.parent)!r})\n"
    assert run(paths + GENERIC, NUMBA_CPU_NAME="generic", NUMBA_CPU_FEATURES="") == "same bits"


@pytest.mark.skipif(platform.machine() != "x86_64", reason="reads the machine code of x86-64")
@pytest.mark.parametrize(
    ("activation", "dtype"), combined(["linear", "tanh", "gelu"], ["float32", "float64"])
)
def test_the_machine_code_streams_and_does_not_contract(monkeypatch, dtype, activation):
    from numba.core.codegen import CPUCodeLibrary

    from multisubnet._backends.numba import affine_loops as _compiled

    optimized, finalize = [], CPUCodeLibrary.finalize

    def recorded(library):
        optimized.append(library.name)
        finalize(library)

    monkeypatch.setattr(CPUCodeLibrary, "finalize", recorded)
    monkeypatch.setattr(programs, "has_fma", lambda: False)  # only recipes ask for fused products
    # The cache would give it without code.
    signature = _compiled._signature("affine", np.dtype(dtype), has_parameter=False)
    function = _compiled._affine(f"affine {activation} uncached", has_parameter=False)
    (code,) = numba.njit([signature])(function).inspect_asm().values()
    # The piece is a part of the function that hands it out, and is optimized once.
    assert any("affine_without" in name for name in optimized)
    assert not any("affine_piece" in name for name in optimized)
    assert not re.search(r"vfn?m(add|sub)", code)
    assert "movnt" in code
    assert "cvtusi2sd" not in code  # of an address
    assert "sfence" in code
    assert re.search(r"v?mulp[sd].*[yz]?mm", code)
    if activation != "linear":
        # The recipe is vectorized, and nothing else divides.
        assert re.search(r"v?divp[sd]", code)
        assert not re.search(r"v?divs[sd]", code)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_packed_rows_repeat_their_first_features(dtype):
    lanes = 64 // np.dtype(dtype).itemsize
    pack = sum_loops.compiled_pack(np.dtype(dtype))
    for width in (1, 3, lanes - 1, lanes, lanes + 1, 30, 33, 63):
        rows = np.arange(5 * width, dtype=dtype).reshape(5, width)
        memory = np.full((7, width + lanes - 1), -1, dtype)
        pack(rows, memory[1:6])
        assert (memory[1:6] == np.pad(rows, [(0, 0), (0, lanes - 1)], mode="wrap")).all()
        assert (memory[[0, 6]] == -1).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_only_the_last_weights_are_copied_to_fill_whole_lines(dtype, monkeypatch):
    memory = []

    def empty(shape, dtype=np.float64):
        """Return an array that is followed by a mark, and keep both."""
        size = math.prod(shape)
        memory.append(np.full(size + 16, 77, dtype))
        return memory[-1][:size].reshape(shape)

    rng = np.random.default_rng(0)
    samples = rng.standard_normal((3, 30)).astype(dtype)
    monkeypatch.setattr(sum_layout, "np", types.SimpleNamespace(**vars(np) | {"empty": empty}))
    for n_sets in (1, 4, 7, 9, 30, 31, 32, 33, 47, 63, 65, 4097):
        weight, bias = rng.standard_normal((2, n_sets, 30)).astype(dtype)
        call = partial(ms.mean_loss, samples, weight, bias, samples, loss="absolute_error")
        call = partial(call, per_feature=True)
        with ms.use_backend("numpy"):
            expected = call()
        memory.clear()
        with ms.use_backend("numba"):
            assert (call() == expected).all()
        assert all((array[-16:] == 77).all() for array in memory)
        copied = sum(array.nbytes for array in memory if array.dtype == np.int64)
        assert copied < 1 << 16  # weight and bias of 4097 sets have 1 MB in float32


@pytest.mark.parametrize("per_feature", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_losses_and_gradients_are_divided_in_the_same_step(dtype, per_feature, monkeypatch):
    rng = np.random.default_rng(0)
    samples, weight, bias = (rng.standard_normal((n, 30)).astype(dtype) for n in (33, 19, 19))
    targets, weights = samples[:, 0].copy(), rng.uniform(size=33)
    call = partial(ms.mean_loss_and_grad, samples, weight, bias, targets, loss="absolute_error")
    without_sum = np.resize([1.0, -1.0, 0.0], 33)
    for sample_weight in (None, weights, without_sum):
        with ms.use_backend("numpy"):
            desired = call(sample_weight=sample_weight, per_feature=per_feature)
        with ms.use_backend("numba"), monkeypatch.context() as patch:
            call(sample_weight=sample_weight, per_feature=per_feature)
            if sample_weight is None:
                patch.setattr(engine, "sums", None)
                patch.setattr(engine, "finish", None)
            found = call(sample_weight=sample_weight, per_feature=per_feature)
        for array, expected in zip(found, desired, strict=True):
            assert_same_bits(array, expected)
    assert all(np.isnan(array).all() for array in found)


def test_targets_shared_by_the_features_are_read_in_place(monkeypatch):
    kinds = []
    compiled = sum_loops.compiled_sums
    monkeypatch.setattr(sum_loops, "compiled_sums", lambda *a: kinds.append(a[2]) or compiled(*a))
    monkeypatch.setattr(engine, "_evaluate", {})
    x = np.ones((3, 4), np.float32)
    with tiles.of(), ms.use_backend("numba"):
        for targets in (x[:, 0], x[:, :1], x):
            ms.mean_loss(x, x, x, targets, loss="absolute_error")
        ms.mean_loss(x[:, :1], x[:, :1], None, x[:, 0], loss="absolute_error")
    assert kinds == ["shhf-", "shhs-"]


@pytest.mark.skipif(platform.machine() != "x86_64", reason="reads the machine code of x86-64")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("key", ["product linear loss", "log_cosh tanh loss slope_sample weighted"])
def test_the_machine_code_of_sums_is_in_vectors_and_does_not_contract(dtype, key):
    terms = Summands.of_key(key)
    kinds = "shhs" + ("f" if terms.weighted else "-")

    def uncached(function, signature):
        return numba.njit([signature])(function)  # the cache would give it without code

    without_fma = mock.patch.object(programs, "has_fma", return_value=False)  # recipes ask for it
    with without_fma, mock.patch.object(sum_loops, "jit", uncached):
        function = sum_loops.compiled_sums(terms, np.dtype(dtype), kinds)
    (code,) = function.inspect_asm().values()
    assert not re.search(r"vfn?m(add|sub)", code)
    assert "cvtusi2sd" not in code  # of an address
    for vectors, scalars in (("mulp[sd]", "muls[sd]"), ("addp[sd]", "adds[sd]")):
        assert re.search(rf"v?{vectors}", code)
        assert not re.search(rf"v?{scalars}", code)
    assert ("cvtps2pd" in code) == (dtype == "float32")  # totals of runs are added in float64


GUARDED = """
import ctypes, mmap
import numpy as np
import multisubnet as ms

libc = ctypes.CDLL(None, use_errno=True)
kept = []

def guarded(array):
    "Return a copy of an array that ends where a page without access begins."
    n_pages = -(-array.nbytes // mmap.PAGESIZE)
    memory = mmap.mmap(-1, (n_pages + 1) * mmap.PAGESIZE)
    whole = np.frombuffer(memory, np.uint8)
    end = n_pages * mmap.PAGESIZE
    assert libc.mprotect(ctypes.c_void_p(whole.ctypes.data + end), mmap.PAGESIZE, 0) == 0
    copy = whole[end - array.nbytes : end].view(array.dtype).reshape(array.shape)
    copy[...] = array
    kept.append(memory)
    return copy

ms.set_backend("numba")
rng = np.random.default_rng(0)
for n_sets, n_samples, n_features in [(20, 40, 5), (100, 33, 30), (1, 1, 1), (3, 7, 70)]:
    shapes = [(n_samples, n_features), *[(n_sets, n_features)] * 2, (n_samples, n_features)]
    operands = [guarded(rng.standard_normal(shape, "f4")) for shape in shapes]
    ms.mean_loss(*operands, loss="absolute_error")
    ms.mean_loss(*operands[:3], guarded(operands[3][:, 0].copy()), loss="absolute_error")
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="protects pages by mprotect")
def test_sums_read_nothing_after_the_end_of_an_operand():
    run(GUARDED)


def test_a_divisor_of_0_gives_nan():
    out = np.ones(2)
    engine.finish(np.ones((1, 2, 3)), out, 0.0, None)
    assert np.isnan(out).all()


def test_rows_read_in_place_and_copied_rows_share_a_layout():
    rng = np.random.default_rng(0)
    samples, targets, weight, bias = (rng.standard_normal((n, 128), "f4") for n in (40, 40, 1, 1))
    strided = np.repeat(samples, 2, axis=1)[:, ::2]
    with ms.use_backend("numpy"):
        desired = ms.mean_loss(samples, weight, bias, targets, loss="absolute_error")
    with ms.use_backend("numba"):
        for x in (samples, strided, samples, strided):
            result = ms.mean_loss(x, weight, bias, targets, loss="absolute_error")
            assert_same_bits(result, desired)
