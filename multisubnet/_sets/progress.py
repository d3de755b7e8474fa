"""Progress reports, as a bar or to a callable."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from multisubnet._arrays import validation

Report = Callable[[int], object]


@contextlib.contextmanager
def reporting(progress: Any, total: int, unit: str = "sets") -> Iterator[Report]:
    """Yield a callable that reports how many of `total` are done.

    `progress` is a bool (whether to show a bar), or a callable that receives (done, total).
    """
    if callable(progress):
        yield lambda done: progress(done, total)
    elif progress is not None and validation.flag("progress", progress):
        try:
            from tqdm.auto import tqdm
        except ImportError:
            raise ImportError(
                "progress=True needs tqdm: pip install 'multisubnet[progress]', or pass a "
                "callable that receives (done, total)"
            ) from None
        with tqdm(total=total, unit=f" {unit}", unit_scale=True) as bar:
            yield lambda done: bar.update(done - bar.n)
    else:
        yield lambda done: None
