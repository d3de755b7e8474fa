"""The choice of a backend: precedence, and behaviour without a backend."""

from __future__ import annotations

import configparser
import subprocess
import sys
import threading
import types
from importlib import metadata
from pathlib import Path

import conftest
import device
import numpy as np
import pytest

import multisubnet as ms
from multisubnet._backends import choice
from multisubnet._backends.cupy import engine
from multisubnet._backends.numba import engine as _engine


def run(code, **environment):
    """Run Python code in a separate process, and return its output."""
    import os

    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def recorded(monkeypatch):
    """The backends that were asked to run."""
    calls = []
    real = choice.load

    def load(name):
        calls.append(name)
        return real("numpy")

    monkeypatch.setattr(choice, "load", load)
    monkeypatch.setattr(choice, "_process_choice", None)
    monkeypatch.setattr(choice, "_environment_choice", None)
    monkeypatch.setattr(_engine, "_evaluate", {})
    return calls


def chosen(recorded):
    recorded.clear()
    ms.affine([[1]], [[2]])
    return recorded[0] if recorded else "automatic"


def test_the_order_of_precedence(recorded, monkeypatch):
    assert chosen(recorded) == "automatic"
    monkeypatch.setattr(choice, "_environment_choice", "from the environment")
    assert chosen(recorded) == "from the environment"
    ms.set_backend("of the process")
    assert chosen(recorded) == "of the process"
    with ms.use_backend("of the context"):
        assert chosen(recorded) == "of the context"
        with ms.use_backend("inner"):
            assert chosen(recorded) == "inner"
        with ms.use_backend(None):
            assert chosen(recorded) == "of the process"
        assert chosen(recorded) == "of the context"
    ms.set_backend(None)
    assert chosen(recorded) == "from the environment"


def test_use_backend_is_undone_by_an_error_and_unseen_by_other_threads(recorded):
    seen = []
    thread = threading.Thread(target=lambda: seen.append(chosen(recorded)))

    def failing():
        with ms.use_backend("of the context"):
            thread.start()
            thread.join()
            raise KeyError

    with pytest.raises(KeyError):
        failing()
    assert seen == ["automatic"]
    assert chosen(recorded) == "automatic"


@pytest.mark.parametrize("choose", [ms.set_backend, ms.use_backend])
def test_a_backend_that_does_not_exist(choose):
    with pytest.raises(ValueError, match=r"backend must be one of numpy, numba, cupy.*not 'cuda'"):
        choose("cuda")


@pytest.mark.parametrize("choose", [ms.set_backend, ms.use_backend])
def test_a_backend_that_cannot_run_here(choose, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    engine.why_unavailable.cache_clear()
    choice.load.cache_clear()
    try:
        with pytest.raises(
            ms.BackendUnavailable,
            match=r"'cupy' cannot run here: CuPy cannot.*multisubnet\[cuda12\]",
        ):
            choose("cupy")
        assert "cupy" not in ms.available_backends()
        assert "cannot run: CuPy" in ms.show_config("dicts")["Backends"]["cupy"]
        assert ms.affine([[1]], [[2]]).tolist() == [[[2]]]
    finally:
        engine.why_unavailable.cache_clear()


def test_a_broken_cupy_leaves_the_cpu_alone(tmp_path):
    (tmp_path / "cupy.py").write_text("raise OSError('libcuda.so.1 is not what it was')")
    code = (
        "import multisubnet as ms; print(ms.affine([[3]], [[2]]).tolist());"
        "print('cupy' in ms.available_backends()); ms.show_config()"
    )
    printed = run(code, PYTHONPATH=str(tmp_path))
    assert printed.startswith("[[[6]]]\nFalse\n")
    assert "cannot run: importing CuPy failed: OSError: libcuda.so.1 is not what it was" in printed


def test_a_warning_on_import_does_not_hide_the_gpu(tmp_path):
    # With filters that turn warnings into errors, as in pytest here, a test that needs a GPU would
    # be skipped.
    (tmp_path / "cupy.py").write_text(
        "import types, warnings\n"
        "warnings.warn('something is deprecated', DeprecationWarning, stacklevel=2)\n"
        "warnings.warn('two versions are installed', UserWarning, stacklevel=2)\n"
        "__version__ = '14.2.0'\n"
        "runtime = types.SimpleNamespace(getDeviceCount=lambda: 1)\n"
        "cuda = types.SimpleNamespace(runtime=runtime)\n"
    )
    code = (
        "import warnings; warnings.simplefilter('error')\n"
        "from multisubnet._backends import choice; print(choice.why_unavailable()['cupy'])\n"
        "print('error' in {action for action, *_ in warnings.filters})"
    )
    assert run(code, PYTHONPATH=str(tmp_path)) == "None\nTrue"


def test_tests_that_need_a_gpu_are_not_skipped_in_silence(monkeypatch):
    why = dict.fromkeys(["numpy", "numba", "host"]) | {"cupy": "CuPy is not well"}
    monkeypatch.setattr(choice, "why_unavailable", lambda: why)
    mark = pytest.mark.gpu.mark
    marks = []
    item = types.SimpleNamespace(
        get_closest_marker=lambda name: mark if name == mark.name else None,
        add_marker=marks.append,
    )
    monkeypatch.setattr(device, "count", lambda: 1)
    with pytest.raises(pytest.UsageError, match=r"there is a GPU, .*: CuPy is not well; deselect"):
        conftest.skip_unavailable([item])
    assert marks == []
    monkeypatch.setattr(device, "count", lambda: 0)
    conftest.skip_unavailable([item])
    assert [mark.kwargs["reason"] for mark in marks] == ["cupy: CuPy is not well"]


@pytest.mark.parametrize("version", ["13.6.0", "14.1.1", "9.0.0rc1"])
def test_an_old_cupy_is_refused(version, tmp_path):
    (tmp_path / "cupy.py").write_text(f"__version__ = {version!r}")
    code = "from multisubnet._backends import choice; print(choice.why_unavailable()['cupy'])"
    why = f"CuPy has version {version}; expected 14.2 or later"
    assert run(code, PYTHONPATH=str(tmp_path)) == why


def test_importing_and_using_numpy_arrays_does_not_import_cupy():
    code = (
        "import sys, multisubnet as ms; ms.affine([[1]], [[2]]);"
        "print([m for m in ('cupy', 'hypothesis', 'numba') if m in sys.modules])"
    )
    assert run(code) == "[]"


def test_modules_of_other_libraries_are_imported_on_first_use():
    code = (
        "import sys, multisubnet as ms\n"
        "lazy = {'dask', 'jax', 'keras', 'plot', 'testing', 'torch'}\n"
        "assert {'affine', '__version__'} <= {*dir(ms)}\n"
        "assert not {f'multisubnet.{name}' for name in lazy} & {*sys.modules}\n"
        "print(ms.testing.problems.__name__, ms.plot.__name__)\n"
        "sys.modules['keras'] = None\n"
        "assert not hasattr(ms, 'keras')\n"
        "try: ms.keras\n"
        "except AttributeError as error: print(error)\n"
        "try: ms.afine\n"
        "except AttributeError as error: print(error, error.name, error.obj is ms)\n"
    )
    printed = run(code).splitlines()
    assert printed[0] == "problems multisubnet.plot"
    assert ": multisubnet.keras needs Keras" in printed[1]
    assert printed[2] == "module 'multisubnet' has no attribute 'afine' afine True"


def test_the_environment_is_checked_when_it_is_first_needed():
    code = (
        "import multisubnet as ms\n"
        "try: ms.affine([[1]], [[2]])\n"
        "except ValueError as error: print(error)"
    )
    assert "not 'nunpy'" in run(code, MULTISUBNET_BACKEND="nunpy")
    assert (
        run("import multisubnet as ms; ms.affine([[1]], [[2]])", MULTISUBNET_BACKEND="numpy") == ""
    )


def test_show_config(capsys):
    assert ms.show_config() is None
    printed = capsys.readouterr().out
    assert f"numpy: {np.__version__}" in printed
    assert "numpy: serves NumPy arrays and sequences" in printed
    assert ms.show_config("dicts")["Versions"]["numpy"] == np.__version__
    with pytest.raises(ValueError, match="mode must be 'stdout' or 'dicts', not 'json'"):
        ms.show_config("json")


def test_show_config_lists_frameworks_without_an_import(monkeypatch):
    versions = {"jax": "1.2", "pandas": "3.4"}

    def version(package):
        if package not in versions:
            raise metadata.PackageNotFoundError(package)
        return versions[package]

    monkeypatch.setattr(metadata, "version", version)
    before = set(sys.modules)
    assert ms.show_config("dicts")["Frameworks"] == versions
    assert not {"jax", "pandas"} & (set(sys.modules) - before)


def test_the_extra_all_has_every_framework():
    config = configparser.ConfigParser()
    config.read(Path(__file__).parents[1] / "setup.cfg")
    extras = {name: text.split() for name, text in config["options.extras_require"].items()}
    alone = set(extras) - {"all", "cuda12", "cuda13", "test", "examples", "search", "bench"}
    alone -= {"frameworks", "docs", "dev"}
    assert {package for name in alone for package in extras[name]} == set(extras["all"])


@pytest.mark.gpu
def test_gpu_arrays_computed_by_numpy_come_back_to_the_gpu():
    import cupy

    operands = [cupy.ones((3, 4)), cupy.ones((5, 4)), cupy.ones((5, 4))]
    out = cupy.zeros((5, 3, 4), cupy.float32)
    with ms.use_backend("numpy"):
        result = ms.affine(*operands)
        assert ms.affine(*operands, out=out) is out
    assert type(result) is cupy.ndarray
    assert (result.get() == 2).all()
    assert (out.get() == 2).all()


@pytest.mark.gpu
def test_the_work_runs_on_the_current_stream_and_is_not_waited_for(monkeypatch):
    import cupy

    launched = []

    def kernel(name):
        def launch(grid, block, arguments, shared_mem=0):
            launched.append(cupy.cuda.get_current_stream().ptr)

        return launch

    monkeypatch.setattr(engine, "_kernel", kernel)
    monkeypatch.setattr(cupy.cuda.Stream, "synchronize", lambda self: launched.append("waited"))
    stream = cupy.cuda.Stream(non_blocking=True)
    operands = cupy.ones((3, 4)), cupy.ones((5, 4))
    with stream:
        ms.affine(*operands)
    ms.affine(*operands)
    assert launched == [stream.ptr, cupy.cuda.Stream.null.ptr]


def test_a_partly_imported_cupy_is_ignored(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", type(sys)("cupy"))
    assert ms.affine([[1]], [[2]]).tolist() == [[[2]]]


@pytest.mark.parametrize("command", ["demo", "info"])
def test_commands(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the demo writes its picture there
    monkeypatch.setenv("PYTHONPATH", str(Path(ms.__file__).parents[1]))
    code = f"from multisubnet.__main__ import main; main([{command!r}])"
    printed = run(code)
    if command == "demo":
        assert printed.count("times as") == 2
        assert printed.startswith("Many sets of weights")
        assert "the lowest is" in printed
        assert "Backends that can run here: numpy" in printed
    else:
        assert "Backends:" in printed
        assert "nunpy, but backend must be one of" in run(code, MULTISUBNET_BACKEND="nunpy")


@pytest.mark.parametrize(
    ("variable", "is_told"),
    [
        ("NUMBA_DISABLE_JIT=1", "NUMBA_DISABLE_JIT is set"),  # set by debuggers and coverage
        ("NUMBA_NUM_THREADS=0", "importing Numba failed"),
        ("NUMBA_CACHE_DIR=/dev/null/nothing", None),
    ],
)
def test_settings_of_numba_that_it_cannot_run_with(variable, is_told):
    """Numba is then unavailable, and NumPy computes calls without an explicit choice."""
    pytest.importorskip("numba")
    code = """if True:
        import numpy as np, multisubnet as ms
        from multisubnet._backends.numba import handover
        handover._LOADING = handover._COMPILING = 2e7
        x = np.ones((1000, 30), np.float32)
        assert (ms.affine(x, x) == 1).all()  # so large that the engine would be loaded
        for _ in range(3):
            assert (ms.mean_loss(x, x, None, x) == 0).all()
        print("numba" in ms.available_backends())
        print(ms.show_config("dicts")["Backends"]["numba"])
        try:
            with ms.use_backend("numba"):
                print(ms.affine(x[:1], x[:1])[0, 0, 0])
        except ms.BackendUnavailable as error:
            print(error)
    """
    is_there, config, called = run(code, **dict([variable.split("=")])).splitlines()
    if is_told is None:
        assert (is_there, called) == ("True", "1.0")
    else:
        assert is_there == "False"
        assert config.startswith(f"cannot run: {is_told}")
        assert called.startswith(f"the backend 'numba' cannot run here: {is_told}")
