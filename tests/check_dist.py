"""Build the wheel and the sdist, install each in a clean environment, and try it elsewhere.

`make dist` runs this. The CUDA sources must be found, the example must give its result, and
NVIDIA's namespace `cuda` must not be hidden.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

TRIAL = """
import importlib.util
import sys
from pathlib import Path
import multisubnet as ms
from multisubnet._backends.cupy import sources as _sources
weight, bias = ms.from_pairs([[[2, 7], [9, 5]], [[8, 6], [6, 3]]])
both = ms.affine([[3, 7], [9, 4]], weight, bias)
assert both.tolist() == [[[13, 68], [25, 41]], [[30, 45], [78, 27]]], both
assert "__global__" in _sources.source("affine.cu", ("affine<float32, Tanh, Converting<float32>>",))
installed = Path(ms.__file__).parent
assert "site-packages" in str(installed), installed
assert _sources.directory() == installed / "cuda", _sources.directory()
assert not (installed.parent / "cuda" / "affine.cu").exists()
import cuda.pathfinder
for name in sys.argv[1:]:
    path = installed.parent.joinpath(*name.split("."))
    assert path.is_dir() or path.with_suffix(".py").is_file(), name
    try:
        importlib.import_module(name)
    except ImportError as error:  # of a framework, say, which is not installed here
        assert "multisubnet" not in (error.name or ""), error
print("ok:", installed)
"""


def modules() -> list[str]:
    """Return the names of all modules of the package."""
    files = sorted((ROOT / "multisubnet").rglob("*.py"))
    return [
        ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for file in files
    ]


def main() -> None:
    """Build, install and try."""
    with tempfile.TemporaryDirectory() as directory:
        dist = Path(directory) / "dist"
        subprocess.run([sys.executable, "-m", "build", "--outdir", dist, ROOT], check=True)
        for built in sorted(dist.iterdir()):
            home = Path(directory) / f"venv-{built.suffix[1:]}"
            venv.create(home, with_pip=True)
            python = home / "bin" / "python"
            install = [python, "-m", "pip", "install", "--quiet", built, "cuda-pathfinder"]
            subprocess.run(install, check=True)
            print(built.name, end=" ", flush=True)
            subprocess.run([python, "-c", TRIAL, *modules()], check=True, cwd=directory)
            # CuPy is large, so this environment's copy is used.
            cupy = importlib.util.find_spec("cupy")
            if cupy is not None and cupy.origin is not None:
                environment = os.environ | {"PYTHONPATH": str(Path(cupy.origin).parent.parent)}
                code = "import multisubnet, cuda.pathfinder, cupy; print(multisubnet.__file__)"
                beside = subprocess.run(
                    [python, "-c", code],
                    check=True,
                    cwd=directory,
                    env=environment,
                    stdout=subprocess.PIPE,
                    text=True,
                )
                assert str(home) in beside.stdout, beside.stdout
            for program in ([python, "-m", "multisubnet"], [home / "bin" / "multisubnet"]):
                command = [*program, "info"]
                subprocess.run(command, check=True, cwd=directory, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
