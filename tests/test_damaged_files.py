"""Damaged or malicious files: an error names them, and memory use is bounded."""

from __future__ import annotations

import contextlib
import io
import json
import struct
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import multisubnet as ms
from multisubnet._cli.main import main
from multisubnet._files import array_files, safetensors

SETS = ms.WeightSets(
    np.arange(12, dtype=np.float32).reshape(3, 4), np.ones((3, 4)), ms.Activation("elu", alpha=0.3)
)
NETWORKS = ms.WeightSets.from_layers(
    [(np.ones((2, 2, 2, 3)), np.zeros((2, 2, 3))), np.ones((2, 2, 3, 1), np.float32)],
    inputs=[[0, 1], [1, 2]],
    additive=True,
    intercept=[[0.5], [1.0]],
)
ARRAY = np.arange(12.0).reshape(3, 4)
BOUND = 16 << 20  # bytes of memory for reading a damaged file of a few kilobytes


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """The bytes of valid files, by name."""
    folder = tmp_path_factory.mktemp("good")
    SETS.save(folder / "sets.npz")
    SETS.save(folder / "sets.safetensors")
    NETWORKS.save(folder / "networks.npz")
    NETWORKS.save(folder / "networks.safetensors")
    np.savez_compressed(folder / "deflated.npz", weight=SETS.weight, bias=SETS.bias)
    np.save(folder / "array.npy", ARRAY)
    np.savez(folder / "array.npz", samples=ARRAY)
    safetensors.write(folder / "array.safetensors", {"samples": ARRAY}, {"format": "np"})
    np.savetxt(folder / "array.csv", ARRAY, delimiter=",", header="a,b,c,d", comments="")
    return {path.name: path.read_bytes() for path in folder.iterdir()}


NAMES = ["sets.npz", "sets.safetensors", "deflated.npz", "networks.npz", "networks.safetensors"]
NAMES += [f"array{end}" for end in (".npy", ".npz", ".safetensors", ".csv")]
numbers = st.integers(0, 255) | st.sampled_from([0, 1, 0x20, 0x7F, 0x80, 0xFF])


@st.composite
def damages(draw, content):
    """Draw bytes that are a damaged version of others."""
    bad = bytearray(content)
    places = st.integers(0, len(content) - 1)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(places)
        how = draw(st.sampled_from(["flip", "byte", "length", "cut", "repeat", "zeros", "insert"]))
        if how == "flip":
            bad[place % len(bad)] ^= 1 << draw(st.integers(0, 7))
        elif how == "byte":
            bad[place % len(bad)] = draw(numbers)
        elif how == "length":  # a length field of a header
            form = draw(st.sampled_from(["<H", "<I", "<Q"]))
            largest = 256 ** struct.calcsize(form) - 1
            value = draw(st.integers(0, largest) | st.sampled_from([largest, largest // 2 + 1]))
            bad[place : place + struct.calcsize(form)] = struct.pack(form, value)
        elif how == "cut":
            del bad[max(place, 1) :]
        elif how == "repeat":
            bad[place:place] = bad[place : place + draw(st.integers(1, 200))]
        elif how == "zeros":
            length = draw(st.sampled_from([1, 8, 512]))
            bad[place : place + length] = bytes(length)
        else:
            bad[place:place] = draw(st.binary(max_size=20))
    return bytes(bad)


class Traced:
    """The peak memory of a block of code."""

    def __enter__(self):
        tracemalloc.start()
        return self

    def __exit__(self, *error):
        self.peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()


def read_samples(path):
    return np.array(array_files.read(path, "samples"))


def same(loaded, name):
    if name.startswith("array"):
        return np.array_equal(loaded, ARRAY)
    if name.startswith("networks"):
        return loaded == NETWORKS
    return loaded == (SETS if name.startswith("sets") else ms.WeightSets(SETS.weight, SETS.bias))


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
def test_damage_is_reported_or_harmless(tmp_path, good, name, data):
    """Either the same numbers as before, or one line that names the file.

    .npy and .csv files have no checksum, so their numbers may change.
    """
    path = tmp_path / name
    path.write_bytes(data.draw(damages(good[name])))
    read = read_samples if name.startswith("array") else ms.WeightSets.load
    loaded = error = None
    with Traced() as traced:
        try:
            loaded = read(path)
        except (ValueError, MemoryError) as caught:
            error = str(caught)
    if error is not None:
        assert str(path) in error
        assert "\n" not in error
        assert len(error) < 1500
    elif name.endswith(".npz") or name in ("sets.safetensors", "networks.safetensors"):
        assert same(loaded, name)
    assert traced.peak < BOUND


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
def test_the_command_line_says_it_in_one_line(tmp_path, good, name, data):
    bad = data.draw(damages(good[name]))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        Path("x.npy").write_bytes(good["array.npy"])
        Path("w.npz").write_bytes(good["sets.npz"])
        Path(name).write_bytes(bad)
        inputs = [name, "w.npz"] if name.startswith("array") else ["x.npy", name]
        with contextlib.redirect_stderr(io.StringIO()) as told:
            code = main(["loss", *inputs, "x.npy", "-o", "out.npy"])
    lines = told.getvalue().splitlines()
    assert len(lines) == code
    assert all(name in line for line in lines)


# Names that determine the kind of a file.


@given(data=st.data())
def test_no_two_flips_make_it_a_file_of_others(tmp_path, data):
    """One flip in a metadata name, to bypass the checksum, and one elsewhere."""
    path = tmp_path / "sets.safetensors"
    SETS.save(path)
    content = bytearray(path.read_bytes())
    name = data.draw(st.sampled_from([b"crc32", b"activation", b"format_version", b"__metadata__"]))
    for place in (
        content.index(b'"' + name + b'"') + data.draw(st.integers(0, len(name) + 1)),
        data.draw(st.integers(0, len(content) - 1)),
    ):
        content[place] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(content)
    with contextlib.suppress(ValueError):
        assert ms.WeightSets.load(path) == SETS


@pytest.mark.parametrize(
    "metadata",
    [
        {"crc32": "00000000"},
        {"activation": "{}"},
        {"format_version": "1"},
        {"format_version": "1", "activation": "{}"},
        {"crc32": "00000000", "format_version": "1"},
        {"crc32": "00000000", "activation": "{}"},
    ],
)
def test_incomplete_metadata(tmp_path, metadata):
    path = tmp_path / "sets.safetensors"
    safetensors.write(path, {"weight": np.ones((1, 2))}, metadata)
    with pytest.raises(ValueError, match=r"sets.safetensors is damaged: its metadata has "):
        ms.WeightSets.load(path)


@pytest.mark.parametrize("end", [".npz", ".safetensors"])
def test_names_are_checked_before_arrays_are_read(tmp_path, end):
    """Otherwise gigabytes of arrays would be read before another kind of model is refused."""
    path = tmp_path / f"model{end}"
    arrays = {name: np.zeros((1 << 20, 4), np.float32) for name in ("weight", "layer2", "layer3")}
    if end == ".npz":
        np.savez(path, **arrays)
    else:
        safetensors.write(path, arrays, None)
    with Traced() as traced:
        with pytest.raises(ValueError, match=r"model.* has layer2, layer3, weight; expected"):
            ms.WeightSets.load(path)
        with pytest.raises(ValueError, match=r"model.* has the arrays layer2, layer3, weight"):
            array_files.read(path, "samples")
    assert traced.peak < 1 << 20
    with Traced() as traced:
        assert array_files.read(path, "layer2").shape == (1 << 20, 4)
    assert traced.peak < 2 * arrays["layer2"].nbytes  # not those of the others, too


# Headers that claim more data than there is.


def zipped(head, blank, n_blank):
    """Return the bytes of a .npz file with an entry that begins with `head`, then has blanks."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed, check, size = packer.compress(head), zlib.crc32(head), len(head)
    piece = blank * (1 << 20)
    for start in range(0, n_blank, 1 << 20):
        some = piece[: min(n_blank - start, 1 << 20)]
        packed, check, size = (
            packed + packer.compress(some),
            zlib.crc32(some, check),
            size + len(some),
        )
    packed += packer.flush()
    name = b"weight.npy"
    fields = 0, 8, 0, 0, check, len(packed), size, len(name), 0
    local = struct.pack("<IHHHHHIIIHH", 0x04034B50, 20, *fields) + name + packed
    entry = struct.pack("<IHHHHHHIIIHHHHHII", 0x02014B50, 20, 20, *fields, 0, 0, 0, 0, 0) + name
    end = struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, 1, 1, len(entry), len(local), 0)
    return local + entry + end


@pytest.mark.parametrize("version", [1, 2, 3])
@given(data=st.data())
def test_a_long_header_is_not_read(tmp_path, version, data):
    """Blanks are deflated to a thousandth, so a small file can have a header of gigabytes."""
    n_claimed = data.draw(st.integers(10_001, 2 ** (16 if version == 1 else 32) - 1))
    n_blank = min(n_claimed, data.draw(st.sampled_from([0, 30_000, 24 << 20])))
    head = b"\x93NUMPY" + bytes([version, 0])
    head += struct.pack("<H" if version == 1 else "<I", n_claimed)
    (tmp_path / "sets.npz").write_bytes(zipped(head, b" ", n_blank))
    (tmp_path / "array.npy").write_bytes(head + b" " * min(n_blank, 100_000))
    for read, name in (
        (ms.WeightSets.load, "sets.npz"),
        (read_samples, "array.npy"),
    ):
        with Traced() as traced, pytest.raises(ValueError, match=name):
            read(tmp_path / name)
        assert traced.peak < BOUND


@given(data=st.data())
def test_a_long_header_of_tensors_is_not_read(tmp_path, data):
    path = tmp_path / "sets.safetensors"
    length = data.draw(st.integers(0, 2**64 - 1) | st.integers(0, 1 << 28))
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", length))
        file.truncate(data.draw(st.integers(8, 1 << 28)))  # a hole, which takes no disk space
    with Traced() as traced, pytest.raises(ValueError, match=r"sets.safetensors"):
        ms.WeightSets.load(path)
    assert traced.peak < BOUND


HEADERS = [
    {"weight": {"dtype": "F64", "shape": [1, 1], "data_offsets": [0, 16]}},
    {"weight": {"dtype": "F64", "shape": [1 << 40, 1 << 40], "data_offsets": [0, 8]}},
    {"weight": {"dtype": "F64", "shape": [0, 1 << 62], "data_offsets": [0, 0]}},
    {"weight": {"dtype": "F64", "shape": [-1, -1], "data_offsets": [0, 8]}},
    {"weight": {"dtype": "F64", "shape": [True, 1], "data_offsets": [0, 8]}},
    {"weight": {"dtype": "F64", "shape": [1.0, 1], "data_offsets": [0, 8]}},
    {"weight": {"dtype": "F64", "shape": "11", "data_offsets": [0, 8]}},
    {"weight": {"dtype": "F64", "shape": [1] * 70, "data_offsets": [0, 8]}},
    {"weight": {"dtype": "F64", "shape": [1, 1], "data_offsets": [-8, 0]}},
    {"weight": {"dtype": "F64", "shape": [1, 1], "data_offsets": [8, 0]}},
    {"weight": {"dtype": "F64", "shape": [1, 1], "data_offsets": [0]}},
    {"weight": {"dtype": "F64", "shape": [1, 1]}},
    {"weight": {"dtype": ["F64"], "shape": [1, 1], "data_offsets": [0, 8]}},
    {"weight": {"dtype": "F64", "shape": [1, 1], "data_offsets": [0, 8], "more": 1}},
    {"weight": [], "__metadata__": {}},
    {"weight": {"dtype": "F64", "shape": [1, 1], "data_offsets": [0, 8]}, "__metadata__": {"a": 1}},
    {"weight": {"dtype": "F64", "shape": [1, 1], "data_offsets": [0, 8]}, "__metadata__": []},
    {
        "weight": {"dtype": "F32", "shape": [1, 1], "data_offsets": [0, 4]},
        "bias": {"dtype": "F32", "shape": [1, 1], "data_offsets": [0, 4]},
    },
    [],
    3,
]


@pytest.mark.parametrize(
    "text",
    [
        *(json.dumps(header) for header in HEADERS),
        "[" * 100_000,
        '{"weight":' * 3000,
        '{"weight":{"dtype":"F64","shape":[1,1],"data_offsets":[0,8]},"weight":{}}',
        '{"weight":{"dtype":"F64","shape":[' + "9" * 5000 + ',1],"data_offsets":[0,8]}}',
        '{"weight":{"dtype":"F64","shape":[NaN,1],"data_offsets":[0,8]}}',
        '{"' + "x" * 100_000 + '":{"dtype":"F64","shape":[1,2],"data_offsets":[0,8]}}',
        "\xff",
        "",
    ],
)
def test_invalid_headers_of_tensors(tmp_path, text):
    path = tmp_path / "sets.safetensors"
    content = text.encode("latin-1")
    path.write_bytes(struct.pack("<Q", len(content)) + content + bytes(8))
    for read in (ms.WeightSets.load, read_samples):
        with pytest.raises(ValueError, match=r"sets.safetensors") as caught:
            read(path)
        assert len(str(caught.value)) < 1000
        assert "\n" not in str(caught.value)


def test_a_note_is_not_an_array(tmp_path):
    """A list of its contents would take ten times its memory."""
    np.savez(tmp_path / "s.npz", weight=ARRAY, activation=np.zeros(1 << 20), format_version=1)
    with Traced() as traced, pytest.raises(ValueError, match=r"activation in .*s.npz has shape"):
        ms.WeightSets.load(tmp_path / "s.npz")
    assert traced.peak < BOUND


def test_names_in_an_archive_that_are_not_text(tmp_path):
    path = tmp_path / "sets.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("w\u00e9.npy", b"")
    path.write_bytes(path.read_bytes().replace("w\u00e9".encode(), b"w\xff\xff"))
    with pytest.raises(ValueError, match=r"sets.npz"):
        ms.WeightSets.load(path)


@pytest.mark.parametrize(
    "text",
    ["1," * (6 << 20), "1" * (12 << 20), '"' + "1,\n" * (4 << 20), "a,b\n" + "1," * (6 << 20)],
)
def test_a_table_of_one_long_line(tmp_path, text):
    path = tmp_path / "table.csv"
    path.write_text(text)
    with Traced() as traced, pytest.raises(ValueError, match=r"table.csv:\d+: "):
        read_samples(path)
    assert traced.peak < 48 << 20


@pytest.mark.parametrize("shape", ["(True, 2)", "(2, False)", "(-1, 2)", "(1,) * 2", "(2.0, 1)"])
def test_a_header_of_an_impossible_shape(tmp_path, shape):
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}".encode()
    header = header.ljust(117) + b"\n"
    path = tmp_path / "shape.npy"
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(16))
    with pytest.raises(ValueError, match=r"shape\.npy"):
        array_files.read(path, "samples")
