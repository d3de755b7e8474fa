"""The notebook display of weight sets is valid XML for any sets."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import numpy as np
import pytest

import multisubnet as ms

SVG = "{http://www.w3.org/2000/svg}"
LARGEST = np.finfo(np.float64).max
HOSTILE = ("<script>alert(1)</script>", "\"'&amp;]]>", "\x00\x1b\ud800\n")


def shown(sets):
    """Return the cells of the table by title, the bars, and the text below them."""
    tree = ET.fromstring(sets._repr_html_())
    cells = {row.find("th").text: row.find("td").text for row in tree.iter("tr")}
    path = tree.find(f"{SVG}svg/{SVG}path")
    texts = [div.text for div in tree.findall("div")]
    return cells, None if path is None else path.get("d"), "".join(texts)


def heights(bars):
    """Return the heights of bars by their index."""
    found = (bar.replace("h", ",").split("v")[:2] for bar in bars.split("M")[1:])
    return {int(x.split(",")[0]) // 6: -float(y.split(",")[0]) for x, y in found}


def test_sets_of_affine_functions():
    sets = ms.WeightSets(
        [[1.0, 2.0], [2.0, 5.0]], [[0.0, 0.0]], "tanh", feature_names=["age", "dose"]
    )
    cells, bars, text = shown(sets)
    assert cells == {
        "sets": "2",
        "features": "2: age, dose",
        "activation": "Activation('tanh')",
        "layer sizes": "1-1",
        "biases": "yes",
        "arrays": "float64 on cpu, 64 bytes",
    }
    assert heights(bars) == {0: 24.0, 10: 48.0, 39: 24.0}
    assert text == "weights from 1 to 5"


def test_sets_of_networks():
    layers = [(np.ones((3, 4, 1, 8)), np.ones((3, 4, 8))), np.ones((3, 4, 8, 2))]
    cells, bars, _ = shown(
        ms.WeightSets.from_layers(
            layers, additive=True, output_names=["p", "q"], set_names=["a", "b", "c"]
        )
    )
    assert cells["sets"] == "3: a, b, c"
    assert cells["networks"] == "4 per set, summed"
    assert cells["outputs"] == "2: p, q"
    assert cells["layer sizes"] == "1-8-2"
    assert cells["activation"] == "Activation('relu')"
    assert cells["biases"] == "in 1 layers"
    assert heights(bars) == {20: 48.0}


def test_names_are_escaped_and_cut():
    sets = ms.WeightSets(np.ones((1, 3)), feature_names=HOSTILE)
    assert "<script" not in sets._repr_html_()
    cells, _, _ = shown(sets)
    assert HOSTILE[0] in cells["features"]
    assert "&amp;]]>" in cells["features"]
    many = ms.WeightSets(np.ones((1, 99)), feature_names=[f"f{i}" for i in range(99)])
    assert shown(many)[0]["features"] == "99: f0, f1, f2, f3, f4, f5, ..."


@pytest.mark.parametrize("shape", [(0, 3), (2, 0), (0, 0)])
def test_sets_without_weights_have_no_histogram(shape):
    cells, bars, text = shown(ms.WeightSets(np.ones(shape)))
    assert (cells["sets"], bars, text) == (str(shape[0]), None, "")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([np.nan, np.inf, 1.0], "weights from 1 to 1; 2 of 3 are not finite"),
        ([np.nan, np.nan], "weights; 2 of 2 are not finite"),
        ([-LARGEST, 0.0, LARGEST], "weights from -1.798e+308 to 1.798e+308"),
        ([0.0, 5e-324], "weights from 0 to 4.941e-324"),
        ([1.0, 1.0 + 2**-52], "weights from 1 to 1"),
        (np.array([1 + 2j, 3 - 4j]), "real parts of weights from 1 to 3"),
        (np.array([True, False]), "weights from 0 to 1"),
        (np.array([-128, 127], np.int8), "weights from -128 to 127"),
        (np.array([2**64 - 1], np.uint64), "weights from 1.845e+19 to 1.845e+19"),
        (np.array([1e4000], np.longdouble), "weights; 1 of 1 are not finite"),
    ],
)
def test_weights_of_any_kind(values, expected):
    _, bars, text = shown(ms.WeightSets(np.atleast_2d(values)))
    assert text == expected
    assert (bars is None) == ("from" not in expected)


def test_little_is_read_of_many_weights():
    weight = np.zeros((1, 1_000_000))
    weight[0, 0] = 1.0
    sets = ms.WeightSets(weight)
    _, bars, text = shown(sets)
    assert text == "weights from 0 to 1"
    assert heights(bars)[0] == 48.0
    assert len(sets._repr_html_()) < 4000


def test_sets_on_a_gpu(cupy_on_host, monkeypatch):
    from multisubnet._arrays import namespaces

    sets, copied = ms.WeightSets(np.ones((200, 500))).to("cuda"), []
    on_host = namespaces.on_host
    monkeypatch.setattr(namespaces, "on_host", lambda x: copied.append(x.size) or on_host(x))
    cells, _, text = shown(sets)
    assert cells["arrays"] == "float64 on cuda:0, 781 KiB"
    assert text == "weights from 1 to 1"
    assert sum(copied) == 10_000
