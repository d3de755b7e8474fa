"""How much memory is available, and amounts of it as users write them."""

from __future__ import annotations

import contextlib
import mmap
import operator
import re
import sys
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

_UNITS = {"": 1, "B": 1}
for _power, _letter in enumerate("KMGTP", 1):
    _UNITS |= {f"{_letter}B": 1000**_power, f"{_letter}IB": 1024**_power, _letter: 1024**_power}
_AMOUNT = re.compile(r"\s*([0-9]*\.?[0-9]+)\s*([A-Za-z]*)\s*")

_limit: ContextVar[int | None] = ContextVar("multisubnet_memory_limit", default=None)

_SYSTEM = Path("/")  # of the files of Linux


def parsed(name: str, amount: Any) -> int:
    """Return a number of bytes that is given as one, or as a text like "2 GiB" or "500 MB".

    An amount that no machine can have is the largest that one could.
    """
    n_bytes = -1
    if isinstance(amount, str):
        match = _AMOUNT.fullmatch(amount)
        unit = _UNITS.get(match[2].upper()) if match else None
        if match and unit is not None:
            n_bytes = int(min(float(match[1]) * unit, sys.maxsize))
    elif isinstance(amount, float) and amount.is_integer():
        n_bytes = int(min(amount, sys.maxsize))
    elif not isinstance(amount, bool):
        try:
            n_bytes = min(operator.index(amount), sys.maxsize)
        except TypeError:
            raise TypeError(
                f"{name} must be a whole number of bytes or a text like '2 GiB', not {amount!r}"
            ) from None
    if n_bytes <= 0:
        raise ValueError(
            f"{name} must be a positive number of bytes, or a text like '2 GiB' or '500 MB', "
            f"not {amount!r}"
        )
    return n_bytes


def text(n_bytes: float) -> str:
    """Return a number of bytes as people read it, in binary units."""
    if n_bytes < 1024:
        return f"{n_bytes:.0f} bytes"
    for unit in ("KiB", "MiB", "GiB", "TiB"):
        n_bytes /= 1024
        if n_bytes < 1000 or unit == "TiB":
            break
    return f"{n_bytes:.3g} {unit}"


@contextlib.contextmanager
def held_to(limit: int | None) -> Iterator[None]:
    """Have `check_fits` hold the whole process to so many bytes, where that is not None."""
    token = _limit.set(limit)
    try:
        yield
    finally:
        _limit.reset(token)


def check_fits(what: object, n_bytes: int) -> None:
    """Raise MemoryError unless something of so many bytes fits in the memory of the host."""
    free = available()
    if free is not None and n_bytes > free:
        raise MemoryError(f"{what} takes {text(n_bytes)}, but only {text(free)} are available")
    limit = _limit.get()
    if limit is not None and n_bytes > limit - resident():
        left = max(limit - resident(), 0)
        raise MemoryError(
            f"{what} takes {text(n_bytes)}, but {text(left)} of the limit {text(limit)} are left"
        )


def available(xp: ModuleType = np) -> int | None:
    """Return how many bytes can be allocated, on the host or a current GPU; None: not known.

    On the host it is what the machine has available, or less where a control group says so.
    """
    if xp is not np:
        pool = xp.get_default_memory_pool()
        free = xp.cuda.runtime.memGetInfo()[0] + pool.free_bytes()
        limit = pool.get_limit()
        return min(free, limit - pool.used_bytes()) if limit else free
    amounts = [_of_machine(), *_of_control_groups()]
    return min((x for x in amounts if x is not None), default=None)


def resident() -> int:
    """Return how many bytes of memory this process has; 0 where the system does not tell."""
    try:
        pages = int((_SYSTEM / "proc/self/statm").read_text().split()[1])
    except OSError:
        try:
            import psutil
        except ImportError:
            return 0
        return psutil.Process().memory_info().rss
    return pages * mmap.PAGESIZE


def _of_machine() -> int | None:
    """Return the memory that the machine has available."""
    try:
        information = (_SYSTEM / "proc/meminfo").read_text()
    except OSError:
        return _of_psutil()
    match = re.search(r"^MemAvailable:\s*(\d+) kB", information, re.M)
    return int(match[1]) * 1024 if match else None


def _of_psutil() -> int | None:
    """Return the same where it is not Linux."""
    try:
        import psutil
    except ImportError:
        return None
    return psutil.virtual_memory().available


def _of_control_groups() -> list[int]:
    """Return what is left to this process' control groups (containers, batch systems)."""
    try:
        lines = (_SYSTEM / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    left = []
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if not controllers:
            mount = _SYSTEM / "sys/fs/cgroup"
            names = "memory.max", "memory.current", "inactive_file"
        elif "memory" in controllers.split(","):
            mount = _SYSTEM / "sys/fs/cgroup/memory"
            names = "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"
        else:
            continue
        # A group is held to the limits of those around it. A container sees its own as the first.
        here = mount / group.lstrip("/")
        while True:
            left += _left_to(here, *names)
            if here == mount or mount not in here.parents:
                break
            here = here.parent
    return left


def _left_to(group: Path, limit_name: str, usage_name: str, cache_name: str) -> list[int]:
    """Return what is left to one group, if it has a limit; cached files can be dropped."""
    try:
        limit = int((group / limit_name).read_text())  # or "max"
        usage = int((group / usage_name).read_text())
        cache = re.search(rf"^{cache_name} (\d+)", (group / "memory.stat").read_text(), re.M)
    except (OSError, ValueError):
        return []
    return [max(limit - usage + (int(cache[1]) if cache else 0), 0)]
