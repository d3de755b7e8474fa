"""Networks with layers in files, as flat vectors, and on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_cli import files  # noqa: F401 (a folder of its own, with x.npy, for each test)
from test_mlp import REAL, networks
from test_network_sets import LAYERS, OF_PAIRS, SAMPLES, SETS, SUMS, sets_of

import multisubnet as ms
from multisubnet._cli.main import main
from multisubnet._files import array_files, npy, safetensors, weight_files
from multisubnet.testing import assert_same_bits

SUFFIXES = [".npz", ".safetensors"]
MANY = ms.WeightSets.from_layers(
    [np.ones((2, 1, 1, 1))] * 40,
    activation=[ms.Activation("elu", alpha=0.1 * n).derivative for n in range(39)],
)


@given(problem=networks(REAL, mixed_dtypes=True), suffix=st.sampled_from(SUFFIXES))
def test_networks_come_back_bit_for_bit(tmp_path, problem, suffix):
    sets, _, _ = sets_of(problem, np.asarray)
    path = tmp_path / f"sets{suffix}"
    sets.save(path)
    loaded = ms.WeightSets.load(path)
    assert loaded == sets
    assert loaded.inputs is None or not loaded.inputs.flags.writeable
    assert not loaded.layers[0][0].flags.writeable


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("sets", [MANY, SUMS, OF_PAIRS], ids=["many", "sums", "inputs"])
def test_everything_is_saved(tmp_path, sets, suffix):
    sets.save(tmp_path / f"sets{suffix}")
    assert ms.WeightSets.load(tmp_path / f"sets{suffix}") == sets


def test_files_contain_plain_data(tmp_path):
    SUMS.save(tmp_path / "sets.npz")
    tanh = '{"name": "tanh", "parameter": null, "is_derivative": false}'
    layers = ["layers.0.activation", "layers.0.bias", "layers.0.weight"]
    layers += ["layers.1.activation", "layers.1.weight"]
    with np.load(tmp_path / "sets.npz") as file:
        assert sorted(file) == ["additive", "format_version", "intercept", *layers]
        assert file["additive"] == "true"
    SETS.save(tmp_path / "sets.safetensors")
    arrays, metadata = safetensors.read(tmp_path / "sets.safetensors", list)
    assert sorted(arrays) == ["layers.0.bias", "layers.0.weight", "layers.1.weight"]
    assert metadata["layers.0.activation"] == tanh
    assert metadata["additive"] == "false"


def saved(sets):
    """Return the arrays and the notes of sets, as stored in a .npz file."""
    arrays = dict(sets._parameters.arrays)
    if sets.inputs is not None:
        arrays["inputs"] = sets.inputs
    texts = map(weight_files._as_json, sets._parameters.activations)
    notes = {f"layers.{number}.activation": text for number, text in enumerate(texts)}
    return arrays, notes | {"additive": json.dumps(sets.additive), "format_version": "1"}


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layers.0.weight": None}, "expected weight sets"),
        ({"layers.1.weight": np.ones((4, 3, 4, 2))}, r"layers\[1\]\[0\] has shape \(4, 3, 4, 2\)"),
        ({"layers.3.weight": np.ones((4, 3, 2, 2))}, "expected weight sets"),
        ({"layers.0.biass": np.ones((4, 3, 5))}, "expected weight sets"),
        ({"layers.0.bias": np.ones((3, 3, 5))}, r"layers\[0\]\[1\] has shape \(3, 3, 5\)"),
        ({"weight": np.ones((4, 3))}, "expected weight sets"),
        ({"layers.0.weight": np.ones((4, 3))}, r"layers\[0\]\[0\] has shape \(4, 3\)"),
        (
            {"layers.0.activation": "tanh"},
            "layers.0.activation in .* is 'tanh', which is not an activation",
        ),
        ({"layers.1.activation": None}, "layers.0.activation"),
        ({"additive": "maybe"}, "additive in .* is 'maybe'; expected true or false"),
        ({"additive": "false"}, "intercept requires additive=True"),
        ({"inputs": np.array([[0], [1]])}, r"inputs has shape \(2, 1\)"),
        ({"inputs": np.array([[0], [1], [-2]])}, r"inputs\[2, 0\] is -2"),
        ({"inputs": np.array([[0], [1], [2**64 - 1]], np.uint64)}, "no sets of weights"),
        ({"inputs": np.array([[0.0], [1], [2]])}, "inputs has dtype float64"),
        ({"intercept": np.ones((4, 3))}, r"intercept has shape \(4, 3\)"),
        ({"format_version": "2"}, "format version '?2"),
        (dict.fromkeys(saved(SUMS)[1]), "does not say which activations they have"),
    ],
)
def test_files_without_networks(tmp_path, suffix, change, message):
    arrays, notes = saved(SUMS)
    every = {name: x for name, x in (arrays | notes | change).items() if x is not None}
    path = tmp_path / f"wrong{suffix}"
    arrays = {name: x for name, x in every.items() if not isinstance(x, str)}
    texts = {name: x for name, x in every.items() if isinstance(x, str)}
    if suffix == ".npz":
        with open(path, "wb") as file:
            npy.write_members(file, arrays | {name: np.array(x) for name, x in texts.items()})
    else:
        if texts:
            texts["crc32"] = weight_files._checksum(arrays, texts)
        safetensors.write(path, arrays, texts)
    with pytest.raises(ValueError, match=message) as error:
        ms.WeightSets.load(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_changed_byte_is_reported(tmp_path):
    path = tmp_path / "sets.safetensors"
    SUMS.save(path)
    good = path.read_bytes()
    for place in range(0, len(good), 37):
        path.write_bytes(good[:place] + bytes([good[place] ^ 4]) + good[place + 1 :])
        with pytest.raises(ValueError, match=str(path)):
            ms.WeightSets.load(path)


# Flat vectors.


@given(problem=networks(REAL, special_values=False, samples_ndim=2), axis=st.sampled_from([0, 1]))
def test_theta_round_trip(problem, axis):
    sets, _, _ = sets_of(problem, np.asarray)
    theta = sets.to_theta(axis=axis)
    assert theta.flags.c_contiguous
    rows = theta.T if axis else theta
    order = [x for layer in sets.layers for x in layer if x is not None]
    order += [] if sets.intercept is None else [sets.intercept]
    if len(sets):
        assert_same_bits(rows[0], np.concatenate([x[0].ravel() for x in order]))
    again = ms.WeightSets.from_theta(
        theta,
        layer_sizes=sets.layer_sizes,
        use_bias=[bias is not None for _, bias in sets.layers],
        use_intercept=sets.intercept is not None,
        axis=axis,
        activation=problem.options["activation"],
        output_activation=problem.options["output_activation"],
        inputs=sets.inputs,
        additive=sets.additive,
    )
    if sets.n_networks:  # otherwise their number is unknown
        assert again == sets


def test_theta_has_the_defaults_of_from_layers():
    theta = np.random.default_rng(0).normal(size=(3, 2 * (2 * 4 + 4 + 4 * 4 + 4 + 4 + 1)))
    sets = ms.WeightSets.from_theta(theta, layer_sizes=(2, 4, 4, 1), inputs=[[0, 1], [1, 2]])
    assert sets.activation == ms.Activation("relu")
    assert sets.n_networks == 2
    assert_same_bits(sets.to_theta(), theta)
    assert ms.WeightSets.from_theta(theta[0, :37], 2, layer_sizes=(2, 4, 4, 1)).n_networks == 1
    sums = ms.WeightSets.from_theta(
        [[1.0, 2.0, 0.5]], layer_sizes=(1, 1), use_bias=False, use_intercept=True, additive=True
    )
    assert_same_bits(sums.predict([[10.0, 100.0]]), np.array([[[210.5]]]))


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((np.ones((2, 8)),), {}, TypeError, "n_features is missing; pass it, or layer_sizes"),
        ((np.ones((2, 7)), (1, 2, 1)), {}, TypeError, r"pass layer_sizes=\(1, 2, 1\) for networks"),
        (
            (np.ones((2, 8)),),
            {"layer_sizes": (1, 2, 1)},
            ValueError,
            r"theta has shape \(2, 8\); expected \(N, P\).* a multiple of the 7 parameters of a "
            r"network with the layer sizes \(1, 2, 1\), with axis=0",
        ),
        (
            (np.ones((2, 7)),),
            {"layer_sizes": (1, 2, 1), "use_intercept": True, "additive": True},
            ValueError,
            "7 parameters of a network .* and 1 of the intercept",
        ),
        ((np.ones((1, 1, 7)),), {"layer_sizes": (1, 2, 1)}, ValueError, r"shape \(1, 1, 7\)"),
        ((np.ones(7),), {"layer_sizes": (1,)}, ValueError, r"layer_sizes is \(1,\)"),
        ((np.ones(7),), {"layer_sizes": 3}, ValueError, "layer_sizes is 3"),
        (
            (np.ones(7),),
            {"layer_sizes": (1, 0)},
            ValueError,
            r"layer_sizes\[1\] must be a",
        ),
        ((np.ones(7),), {"layer_sizes": (1, 2, 1), "use_bias": [True]}, ValueError, "use_bias has"),
        ((np.ones(14), 3), {"layer_sizes": (1, 2, 1)}, ValueError, "2 networks of 1 input, which"),
        ((np.ones(4), 2), {"inputs": [[1]]}, TypeError, "unexpected keyword argument 'inputs'"),
    ],
)
def test_wrong_theta(arguments, options, error, message):
    with pytest.raises(error, match=message):
        ms.WeightSets.from_theta(*arguments, **options)


# The command line: its tests use a folder with SAMPLES of two features.

NETWORKS = ms.WeightSets.from_layers([(w[:, :2], b if b is None else b[:, :2]) for w, b in LAYERS])


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".safetensors"])
@pytest.mark.parametrize("additive", [False, True])
@pytest.mark.parametrize("more", [[], ["--set-axis", "1", "--activation", "tanh"]])
def test_predict(suffix, additive, more):
    layers, activation = NETWORKS.layers, "tanh" if more else "relu"
    ms.WeightSets.from_layers(layers, additive=additive).save("n.safetensors")
    samples = SAMPLES[:, :2].copy()
    np.save("x.npy", samples)
    assert main(["predict", "x.npy", "n.safetensors", "-o", f"out{suffix}", *more]) == 0
    expected = ms.mlp(
        samples, layers, activation=activation, additive=additive, set_axis=1 if more else 0
    )
    assert_same_bits(np.array(array_files.read(f"out{suffix}", "predictions")), expected)


@pytest.mark.parametrize("additive", [False, True])
def test_predict_a_table(additive):
    sets = ms.WeightSets.from_layers(NETWORKS.layers, additive=additive)
    sets.save("n.npz")
    assert main(["predict", "x.npy", "n.npz", "-o", "out.csv"]) == 0
    with open("out.csv") as file:
        header, *lines = file.read().splitlines()
    assert header == f"set,sample,{'p0,p1' if additive else 's0p0,s0p1,s1p0,s1p1'}"
    values = np.array([line.split(",")[2:] for line in lines], float)
    assert_same_bits(values, sets.predict(np.load("x.npy")).reshape(len(lines), -1))


@pytest.mark.parametrize(("header", "code"), [("p,q", 0), ("q,p", 1)])
def test_the_header_of_targets_may_name_the_outputs(capsys, header, code):
    names = {"feature_names": ["a", "b"], "output_names": ["p", "q"]}
    ms.WeightSets.from_layers(NETWORKS.layers, additive=True, **names).save("n.npz")
    Path("y.csv").write_text(f"{header}\n" + "1.5,0\n" * len(np.load("x.npy")))
    assert main(["loss", "x.npy", "n.npz", "y.csv"]) == code


def test_columns_of_a_table_have_names():
    def columns(shapes, **names):
        layers = [np.ones((2, *shape)) for shape in shapes]
        return ms.WeightSets.from_layers(layers, **names)._parameters.columns

    features = {"feature_names": ["a", "b"]}
    one, two = [(2, 1, 3), (2, 3, 1)], [(2, 1, 3), (2, 3, 2)]
    assert columns(one) == ["s0p0", "s1p0"]
    assert columns(one, **features) == ["a", "b"]
    assert columns(one, output_names=["x"], **features) == ["a_x", "b_x"]
    assert columns(two, **features) == ["a_p0", "a_p1", "b_p0", "b_p1"]
    assert columns(one, inputs=[[1], [0]], **features) == ["s0p0", "s1p0"]
    assert columns([(1, 2, 3), (1, 3, 2)], **features) == ["p0", "p1"]


def test_chunks_and_resuming(capsys):
    samples = np.random.default_rng(0).normal(size=(50, 2))
    np.save("x.npy", samples)
    NETWORKS.save("n.npz")
    assert main(["predict", "x.npy", "n.npz", "-o", "out.npy", "--chunk", "1"]) == 0
    assert_same_bits(np.load("out.npy"), NETWORKS.predict(samples))
    one, other = NETWORKS, ms.WeightSets.from_layers(NETWORKS.layers[:1])
    with open("out.npy", "rb") as file:
        start = file.read(200)
    for sets, message in ((one, None), (other, "layers.1.weight"), (NETWORKS[::-1], "other num")):
        _interrupt(one, samples, start)
        sets.save("n.npz")
        code = main(["predict", "x.npy", "n.npz", "-o", "out.npy", "--resume"])
        assert code == (message is not None)
        assert (message or "") in capsys.readouterr().err
        if message is None:
            assert_same_bits(np.load("out.npy"), one.predict(samples))


def _interrupt(sets, samples, start):
    """Create the files that an interrupted run leaves."""
    from multisubnet._cli import resumable_file

    job = resumable_file._job(sets._prediction(samples, 0))
    with open("out.npy.part", "wb") as file:
        file.write(start)
    with open("out.npy.part.json", "w") as file:
        json.dump({"safe bytes": len(start), "job": job}, file)
