"""What is timed: this library, and what else computes the same, as a skilled user would write it.

A contender is a function of a library, a task and its operands, arrays of that library: samples
(B, F); weight and bias (N, F) or the layers of networks; and set_index (B,) or targets if the task
has them. It returns a call that computes what the function of the task does, perhaps into `out`,
and need not wait for it. If its result is arranged otherwise, `arranged` turns it into ours.

Losses are those of each set, so that the gradient of their sum has the gradient of each. What is
fastest depends on task and library: whether samples and targets are transposed, so that the
innermost axis is the long one; whether sets are evaluated at once or in chunks, which stay in a
cache. If a user would try several forms, the fastest is timed.
"""

from __future__ import annotations

import os
from collections.abc import Collection

from . import networks, one_layer  # noqa: F401  (they add their contenders)
from .contender import CONTENDERS, OURS, Contender

_ENVIRONMENTS = {
    "cpu": {"JAX_PLATFORMS": "cpu", "KERAS_BACKEND": "jax", "TF_CPP_MIN_LOG_LEVEL": "2"},
    # Memory as it is needed: by default JAX takes three quarters of it for itself.
    "gpu": {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", "TF_CPP_MIN_LOG_LEVEL": "2"},
}


def available(
    device: str, words: Collection[str] = ("",), functions: Collection[str] | None = None
) -> list[Contender]:
    """Return this library, and the contenders with one of these words in their name.

    Those that cannot work are left out, with a printed line.
    """
    # Libraries are not imported yet, and read it when they are.
    os.environ |= _ENVIRONMENTS[device] | dict(os.environ)
    found = []
    for contender in CONTENDERS:
        is_named = contender.name == OURS or any(word in contender.name for word in words)
        computes = functions is None or set(functions) & set(contender.functions)
        if not (is_named and computes and device in contender.devices):
            continue
        why = contender.why_missing(device)
        if why:
            print(f"{contender.name} is left out: {why}", flush=True)
        else:
            found.append(contender)
    return found
