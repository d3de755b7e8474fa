"""Available memory, and amounts of memory as users write them."""

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

from multisubnet._arrays.explanations import shown

_UNITS = {"": 1, "B": 1}
for _power, _letter in enumerate("KMGTP", 1):
    _UNITS |= {f"{_letter}B": 1000**_power, f"{_letter}IB": 1024**_power, _letter: 1024**_power}
_AMOUNT = re.compile(r"\s*([0-9]*\.?[0-9]+)\s*([A-Za-z]*)\s*")

_limit: ContextVar[int | None] = ContextVar("multisubnet_memory_limit", default=None)

_SYSTEM = Path("/")  # root of Linux's system files


def parse(name: str, amount: Any) -> int:
    """Return an amount of memory in bytes, given as a number or a text like "2 GiB" or "500 MB".

    Amounts beyond any machine's memory are reduced to the largest possible one.
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
                f"{name} must be a whole number of bytes or a text like '2 GiB', "
                f"not {shown(amount)}"
            ) from None
    if n_bytes <= 0:
        raise ValueError(
            f"{name} must be a positive number of bytes, or a text like '2 GiB' or '500 MB', "
            f"not {shown(amount)}"
        )
    return n_bytes


def text(n_bytes: float) -> str:
    """Format a number of bytes for people, in binary units."""
    if n_bytes < 1024:
        return f"{n_bytes:.0f} bytes"
    for unit in ("KiB", "MiB", "GiB", "TiB"):
        n_bytes /= 1024
        if n_bytes < 1000 or unit == "TiB":
            break
    return f"{n_bytes:.3g} {unit}"


@contextlib.contextmanager
def held_to(limit: int | None) -> Iterator[None]:
    """Make `check_fits` limit the memory of the whole process, unless `limit` is None."""
    token = _limit.set(limit)
    try:
        yield
    finally:
        _limit.reset(token)


def check_fits(what: object, n_bytes: int) -> None:
    """Raise MemoryError unless this many bytes fit in host memory."""
    free = available()
    if free is not None and n_bytes > free:
        raise MemoryError(f"{what} takes {text(n_bytes)}, but only {text(free)} are available")
    limit = _limit.get()
    if limit is not None and n_bytes > limit - resident():
        left = max(limit - resident(), 0)
        raise MemoryError(
            f"{what} takes {text(n_bytes)}, but only {text(left)} of the limit {text(limit)} are "
            f"left"
        )


def available(xp: ModuleType = np) -> int | None:
    """Return how many bytes can be allocated on the host or the current GPU; None if unknown.

    On the host it is the memory available on the machine, or less if a control group limits it.
    """
    if xp is not np:
        pool = xp.get_default_memory_pool()
        free = xp.cuda.runtime.memGetInfo()[0] + pool.free_bytes()
        limit = pool.get_limit()
        return min(free, limit - pool.used_bytes()) if limit else free
    amounts = [_of_machine(), *_of_control_groups()]
    return min((x for x in amounts if x is not None), default=None)


def resident() -> int:
    """Return the resident memory of this process in bytes, or 0 if the system does not tell."""
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
    """Return the memory available on the machine, on Linux."""
    try:
        information = (_SYSTEM / "proc/meminfo").read_text()
    except OSError:
        return _of_psutil()
    match = re.search(r"^MemAvailable:\s*(\d+) kB", information, re.M)
    return int(match[1]) * 1024 if match else None


def _of_psutil() -> int | None:
    """Return the memory available on the machine, on other systems."""
    try:
        import psutil
    except ImportError:
        return None
    return psutil.virtual_memory().available


def _of_control_groups() -> list[int]:
    """Return how much memory the process's control groups (containers, batch jobs) still allow."""
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
        # A group is subject to the limits of its parents. A container sees its own group as root.
        here = mount / group.lstrip("/")
        while True:
            left += _left_to(here, *names)
            if here == mount or mount not in here.parents:
                break
            here = here.parent
    return left


def _left_to(group: Path, limit_name: str, usage_name: str, cache_name: str) -> list[int]:
    """Return how much one group still allows, if it has a limit; file caches count as free."""
    try:
        limit = int((group / limit_name).read_text())  # ValueError for "max"
        usage = int((group / usage_name).read_text())
        cache = re.search(rf"^{cache_name} (\d+)", (group / "memory.stat").read_text(), re.M)
    except (OSError, ValueError):
        return []
    return [max(limit - usage + (int(cache[1]) if cache else 0), 0)]
