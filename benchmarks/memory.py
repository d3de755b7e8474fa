"""How much memory a call takes, where the system tells (Linux)."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

_CLEAR_REFS = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")


def extra_peak(call: Callable[[], Any]) -> int | None:
    """Return by how many bytes a call's peak, its result included, is above what was there before.

    Memory that the C library keeps of earlier calls is handed back first, so that it counts where
    the call takes it again. (What it keeps for other threads than this one it does not hand back:
    arrays of less than 32 MiB that those make may be missed.) None where the system does not tell.
    """
    gc.collect()
    with contextlib.suppress(AttributeError, OSError, TypeError):  # glibc's
        ctypes.CDLL(None).malloc_trim(0)
    try:
        _CLEAR_REFS.write_text("5")  # from here on the peak is counted anew
        before = _resident("VmRSS")
    except (OSError, LookupError):
        return None
    call()
    return max(0, _resident("VmHWM") - before)


def _resident(name: str) -> int:
    found = re.search(rf"^{name}:\s*(\d+) kB$", _STATUS.read_text(), re.MULTILINE)
    if found is None:
        raise LookupError(name)
    return 1024 * int(found[1])
