"""The notebook display of weight sets: a small table, and a histogram of the weights."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Any

import numpy as np

from multisubnet._arithmetic.float_mode import without_warnings
from multisubnet._arrays import amounts, namespaces
from multisubnet._sets.parameters import Parameters

_SAMPLED = 10_000  # weights in the histogram; those on a GPU are copied
_BARS, _BAR_WIDTH, _HEIGHT = 40, 6, 48
_SHOWN = 6  # names
# Colors are inherited from the page, so that dark and light themes both work.
_CELL = "text-align: left; padding: 1px 12px 1px 0; vertical-align: top; background: none"


def html_of(parameters: Parameters, device: str, dtype: np.dtype[Any]) -> str:
    """Return an HTML table that describes the sets, and an SVG histogram of their weights."""
    cells = "".join(
        f'<tr style="background: none">'
        f'<th style="{_CELL}; white-space: nowrap">{_escaped(name)}</th>'
        f'<td style="{_CELL}">{_escaped(text)}</td></tr>'
        for name, text in _rows(parameters, device, dtype).items()
    )
    return (
        f'<div><strong>WeightSets</strong><table style="border: none">{cells}</table>'
        f"{_histogram(parameters)}</div>"
    )


def _rows(parameters: Parameters, device: str, dtype: np.dtype[Any]) -> dict[str, str]:
    """Return the rows of the table by title."""
    names, weight = parameters.names, parameters.layers[0][0]
    n_sets, n_networks = weight.shape[:2]
    rows = {
        "sets": f"{n_sets:,}{_listed(names.sets)}",
        "features": f"{parameters.n_features:,}{_listed(names.features)}",
    }
    if not parameters.is_affine:
        rows["networks"] = f"{n_networks:,} per set{', summed' * parameters.additive}"
        rows["outputs"] = f"{parameters.sizes[-1]:,}{_listed(names.outputs)}"
        rows["activation"] = _activations(parameters.known_activations[:-1]) or "none"
        rows["output activation"] = repr(parameters.output_activation)
    else:
        rows["activation"] = repr(parameters.output_activation)
    rows["layer sizes"] = "-".join(map(str, parameters.sizes))
    n_biased = sum(bias is not None for _, bias in parameters.layers)
    every = "yes" if n_biased == len(parameters.layers) else f"in {n_biased} layers"
    rows["biases"] = every if n_biased else "no"
    n_bytes = sum(array.nbytes for array in parameters.arrays.values())
    rows["arrays"] = f"{dtype} on {device}, {amounts.text(n_bytes)}"
    return rows


def _activations(every: list[Any]) -> str:
    """Return the activations of layers as text, only once if all are equal."""
    texts = list(map(repr, every))
    return ", ".join(texts[:1] if len(set(texts)) == 1 else texts)


def _listed(names: Iterable[str] | None) -> str:
    if names is None:
        return ""
    some = list(names)
    return ": " + ", ".join(some[:_SHOWN]) + ", ..." * (len(some) > _SHOWN)


def _escaped(text: str) -> str:
    """Escape a text for HTML and XML, which has no control characters."""
    return escape("".join(c if c.isprintable() else "\ufffd" for c in text))


@without_warnings
def _sampled(parameters: Parameters) -> np.ndarray:
    """Return some weights of all layers, evenly spaced, in float64."""
    weights = [weight.reshape(-1) for weight, _ in parameters.layers]
    step = max(sum(weight.size for weight in weights) // _SAMPLED, 1)
    some = [namespaces.on_host(weight[::step]).real.astype(np.float64) for weight in weights]
    return np.concatenate(some)


def _histogram(parameters: Parameters) -> str:
    """Return an SVG histogram of the weights, or an empty text if there are none."""
    values = _sampled(parameters)
    finite = values[np.isfinite(values)]
    n_other = values.size - finite.size
    note = f"; {n_other:,} of {values.size:,} are not finite" * bool(n_other)
    if not finite.size:
        return f"<div>weights{note}</div>" * bool(values.size)
    low, high = finite.min(), finite.max()
    # Halves, because the difference of the largest numbers overflows.
    width = high / 2 - low / 2
    places = (
        (finite / 2 - low / 2) / width * _BARS if width > 0 else np.full(finite.size, _BARS / 2)
    )
    counts = np.bincount(np.clip(places.astype(int), 0, _BARS - 1), minlength=_BARS)
    bars = "".join(
        f"M{_BAR_WIDTH * i},{_HEIGHT}v{-max(_HEIGHT * count / counts.max(), 1):.1f}"
        f"h{_BAR_WIDTH - 1}V{_HEIGHT}z"
        for i, count in enumerate(counts)
        if count
    )
    kind = "real parts of weights" if parameters.layers[0][0].dtype.kind == "c" else "weights"
    text = f"{kind} from {low:.4g} to {high:.4g}{note}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_BARS * _BAR_WIDTH}" '
        f'height="{_HEIGHT + 1}" style="margin-top: 6px" role="img" '
        f'aria-label="histogram of {text}">'
        f'<path d="{bars}" fill="currentColor" fill-opacity="0.6"/></svg><div>{text}</div>'
    )
