"""Weight sets and arrays in files: saved bit for bit, and bad files do no harm."""

from __future__ import annotations

import csv as csv_module
import io
import os
import pickle
import struct
import tracemalloc
import warnings
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import multisubnet as ms
from multisubnet._arrays import amounts
from multisubnet._files import array_files, csv, weight_files
from multisubnet.testing import DTYPES, activations, assert_same_bits

SUFFIXES = [".npz", ".safetensors"]


@st.composite
def arrays_of_any_bits(draw, dtype, shape):
    """Draw an array of random bytes: NaNs with any payload, infinities, subnormals."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    size = int(np.prod(shape))
    if dtype == "bool":
        return rng.integers(2, size=shape).astype(bool)
    if dtype == "longdouble":  # most of its bytes are padding
        return rng.normal(size=shape).astype(dtype)
    return np.frombuffer(rng.bytes(size * np.dtype(dtype).itemsize), dtype).reshape(shape)


@st.composite
def weight_sets(draw, dtypes=(*DTYPES, "longdouble")):
    shape = draw(st.tuples(st.integers(0, 4), st.integers(0, 5)))
    dtype = st.sampled_from(dtypes)
    weight = draw(arrays_of_any_bits(draw(dtype), shape))
    bias = draw(st.none() | arrays_of_any_bits(draw(dtype), shape))
    return ms.WeightSets(weight, bias, draw(st.none() | activations()))


IN_SAFETENSORS = [dtype for dtype in DTYPES if dtype != "complex128"]


@given(data=st.data(), suffix=st.sampled_from(SUFFIXES))
def test_sets_come_back_bit_for_bit(tmp_path, data, suffix):
    dtypes = (*DTYPES, "longdouble") if suffix == ".npz" else IN_SAFETENSORS
    sets = data.draw(weight_sets(dtypes))
    path = tmp_path / f"sets{suffix}"
    sets.save(path)
    assert not list(tmp_path.glob(".*.tmp"))
    loaded = ms.WeightSets.load(str(path))
    assert loaded == sets
    assert loaded.activation == sets.activation
    assert not loaded.weight.flags.writeable


def test_files_contain_plain_data(tmp_path):
    activation = ms.Activation("elu", alpha=0.1).derivative
    sets = ms.WeightSets([[1.5, 2.0]], [[0.0, 1.0]], activation)
    sets.save(tmp_path / "sets.npz")
    with np.load(tmp_path / "sets.npz") as file:
        assert sorted(file) == ["activation", "bias", "format_version", "weight"]
        text = '{"name": "elu", "parameter": 0.1, "is_derivative": true}'
        assert file["activation"] == text
        assert file["format_version"] == 1
    sets.save(tmp_path / "sets.safetensors")
    import safetensors

    with safetensors.safe_open(tmp_path / "sets.safetensors", "np") as file:
        assert sorted(file.keys()) == ["bias", "weight"]
        assert file.metadata()["activation"] == text


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("order", ["C", "F"])
def test_the_files_of_others_are_linear(tmp_path, save, order):
    weight = np.arange(6.0).reshape(2, 3).astype(">f4", order=order)
    save(tmp_path / "other.npz", weight=weight, bias=[[1.0, 2.0, 3.0]])
    sets = ms.WeightSets.load(tmp_path / "other.npz")
    assert_same_bits(sets.weight, weight.astype("=f4"))
    assert_same_bits(sets.bias, np.array([[1.0, 2.0, 3.0]] * 2))
    assert sets.activation == ms.Activation("linear")


def test_a_tensor_file_of_others_is_linear(tmp_path):
    import safetensors.numpy

    weight = np.ones((2, 3), np.float16)
    path = tmp_path / "other.safetensors"
    safetensors.numpy.save_file({"weight": weight}, path, {"format": "pt"})
    assert ms.WeightSets.load(path) == ms.WeightSets(weight)


# Damaged files.


def loads_or_says_so(path, sets):
    """Return whether a file gives the same sets; if not, ValueError names it on one line."""
    try:
        loaded = ms.WeightSets.load(path)
    except ValueError as error:
        return said_so(path, error)
    assert loaded == sets
    return True


def said_so(path, error):
    assert str(path) in str(error)
    assert "\n" not in str(error)
    return False


SAVED = ms.WeightSets(
    np.arange(12, dtype=np.float32).reshape(3, 4), np.ones((3, 4)), ms.Activation("elu", alpha=0.3)
)


@pytest.fixture(scope="module", params=SUFFIXES)
def saved(request, tmp_path_factory):
    """The path of a file, and its contents."""
    path = tmp_path_factory.mktemp("saved") / f"sets{request.param}"
    SAVED.save(path)
    return path, path.read_bytes()


@given(data=st.data())
def test_a_file_that_was_damaged_is_refused(saved, data):
    path, good = saved
    bad = bytearray(good)
    places = st.integers(0, len(good) - 1)
    for place in data.draw(st.lists(places, max_size=4)):
        bad[place] = data.draw(st.integers(0, 255))
    cut = data.draw(st.none() | places)
    if cut is not None:
        bad = bad[:cut] + data.draw(st.binary(max_size=4))
    path.write_bytes(bad)
    loads_or_says_so(path, SAVED)
    if cut is not None and len(bad) < cut:
        assert not loads_or_says_so(path, SAVED)


def test_no_bit_of_a_directory_can_flip_unseen(saved):
    """A flipped bit there could hide the bias or the activation."""
    path, good = saved
    directory = range(good.index(b"PK\1\2"), len(good)) if path.suffix == ".npz" else range(400)
    refused = 0
    path.write_bytes(good)
    with open(path, "r+b", buffering=0) as file:
        for place in directory:
            for bit in range(8):
                os.pwrite(file.fileno(), bytes([good[place] ^ 1 << bit]), place)
                refused += not loads_or_says_so(path, SAVED)
            os.pwrite(file.fileno(), good[place : place + 1], place)
    assert refused > len(directory)


@given(content=st.binary(max_size=300), start=st.sampled_from([b"", b"\x93NUMPY\1\0", b"PK\3\4"]))
@pytest.mark.parametrize("suffix", array_files.SUFFIXES)
def test_something_else_is_refused(tmp_path, suffix, content, start):
    path = tmp_path / f"foreign{suffix}"
    path.write_bytes(start + content)
    if suffix in SUFFIXES:
        assert not loads_or_says_so(path, None)
    try:
        array = array_files.read(path, "samples")
    except ValueError as error:
        said_so(path, error)
    else:
        assert suffix == ".csv"
        assert array.dtype == np.float64


class Evil:
    """An object that creates a file when it is unpickled."""

    marker = "executed"

    def __reduce__(self):
        return open, (self.marker, "w")


def test_pickles_are_never_executed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    evil = np.array([[Evil()]], dtype=object)
    np.savez("weight.npz", allow_pickle=True, weight=evil)
    np.savez("note.npz", allow_pickle=True, weight=[[1.0]], activation=evil, format_version=1)
    np.save("samples.npy", evil, allow_pickle=True)
    for name in ("pickle.npz", "pickle.npy", "pickle.safetensors", "pickle.csv"):
        with open(name, "wb") as file:
            pickle.dump(Evil(), file)
    for name in ("weight.npz", "note.npz", "pickle.npz", "pickle.safetensors"):
        with pytest.raises(ValueError, match=name):
            ms.WeightSets.load(name)
    for name in ("samples.npy", "weight.npz", "pickle.npz", "pickle.npy", "pickle.csv"):
        with pytest.raises(ValueError, match=name):
            array_files.read(name, "samples")
    assert not os.path.exists(Evil.marker)
    with open("pickle.npy", "rb") as file:
        pickle.load(file).close()
    assert os.path.exists(Evil.marker)  # unpickling does create it


def npz(path, members, method=zipfile.ZIP_STORED):
    """Write an archive of named byte strings."""
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", method) as archive:
        warnings.simplefilter("ignore")  # about duplicate names
        for name, content in members:
            archive.writestr(name, content)


def npy(array=None, header=None):
    """Return an array as the bytes of a .npy file, or only a header."""
    if header is not None:
        text = header.encode()
        return b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


ONE = npy(np.ones((1, 2)))
HEADER = "{{'descr': {}, 'fortran_order': False, 'shape': {}}}\n"


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([], "has nothing; expected weight sets as .*: weight, optionally bias, .*; networks have"),
        ([("weights.npy", ONE)], "has weights; expected"),
        ([("weight.npy", ONE), ("biases.npy", ONE)], "has biases, weight; expected"),
        ([("weight.npy", ONE), ("../../bias.npy", ONE)], r"has \.\./\.\./bias, weight"),
        ([("weight.npy", ONE), ("read.me", b"")], "an entry 'read.me', which is not an array"),
        ([("weight.npy", ONE), ("weight.npy", ONE)], "has several arrays of the same name"),
        ([("weight.npy", b"")], "is not a NumPy array"),
        ([("weight.npy", ONE[:-1])], "is truncated: .* has 16 bytes, but there are 15"),
        ([("weight.npy", ONE + b"1")], "is damaged: .* has 16 bytes, but there are 17"),
        ([("weight.npy", npy(np.ones(2)))], r"weight in .* has shape \(2,\)"),
        ([("weight.npy", ONE), ("bias.npy", npy(np.ones((1, 3))))], r"bias has shape \(1, 3\)"),
        ([("weight.npy", npy(np.array([["a"]])))], "dtype <U1; expected bool, an integer"),
        ([("weight.npy", npy(np.array("abc")))], r"has shape \(\) and dtype <U3"),
        ([("weight.npy", npy(np.ones((1, 2), "M8[s]")))], "dtype datetime64"),
        ([("weight.npy", npy(np.ones((1, 2), "f4,i4")))], "expected bool, an integer"),
        (
            [("weight.npy", ONE), ("format_version.npy", npy(np.array(1)))],
            "and all or none of activation, format_version; networks have layers.0.weight",
        ),
        (
            [("layers.0.weight.npy", ONE), ("layers.0.activation.npy", npy(np.array("tanh")))],
            "layers.0.weight, optionally layers.0.bias, .*, additive, format_version$",
        ),
    ],
)
def test_files_without_weight_sets(tmp_path, members, message):
    path = tmp_path / "sets.npz"
    npz(path, members)
    with pytest.raises(ValueError, match=message) as caught:
        ms.WeightSets.load(path)
    assert str(path) in str(caught.value)


NOTES = '{"name": "elu", "parameter": 1.0, "is_derivative": false}'


@pytest.mark.parametrize(
    ("activation", "version", "message"),
    [
        (NOTES, 2, "has the format version 2, but this version of multisubnet reads 1"),
        ("relu", 1, "activation in .* is 'relu', which is not an activation"),
        (NOTES.replace("elu", "elv"), 1, "activation must be one of"),
        (NOTES.replace("1.0", "NaN"), 1, "alpha must be finite"),
        (NOTES.replace("1.0", "null"), 1, "alpha must be a real number"),
        (NOTES.replace('"elu"', '["elu"]'), 1, "which is not an activation"),
        (NOTES.replace("elu", "relu"), 1, "'relu' has no parameter"),
        (NOTES.replace("false", "0"), 1, "fields other than name"),
        (NOTES.replace("{", '{"more": 1, '), 1, "fields other than name"),
        ("[" * 900, 1, "which is not an activation"),
        (3, 1, "which is not an activation"),
    ],
)
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_invalid_notes(tmp_path, suffix, activation, version, message):
    path = tmp_path / f"sets{suffix}"
    weight = np.ones((1, 2))
    if suffix == ".npz":
        np.savez(path, weight=weight, activation=activation, format_version=version)
    else:
        import safetensors.numpy

        notes = {"activation": str(activation), "format_version": str(version)}
        notes["crc32"] = weight_files._checksum({"weight": weight}, notes)
        safetensors.numpy.save_file({"weight": weight}, path, notes)
    with pytest.raises(ValueError, match=message.replace("version 2", "version '?2'?")):
        ms.WeightSets.load(path)


@pytest.mark.parametrize(
    "header",
    [
        HEADER.format("'<f8'", (1 << 40, 1 << 10)),
        HEADER.format("'<f8'", (10**400, 1)),
        HEADER.format("'<f8'", (0, 1 << 62)),
        HEADER.format("'<f8'", (-1, 2)),
        HEADER.format("'<f8'", (1,) * 70),
        HEADER.format("'|O'", (1, 1)),
        HEADER.format("'<U0'", ()),
        HEADER.format("'<U1000000'", ()),
        HEADER.format("'nonsense'", (1, 1)),
        HEADER.format("__import__('os').system('touch executed')", (1, 1)),
        "(" * 9000 + "\n",
        "{'descr': '\\d'}\n",
        "{'descr': '<f8', 'shape': (1L, 2L), 'fortran_order': False}\n",
        "{}\n",
        " " * 20000 + "\n",
    ],
)
def test_a_header_allocates_and_executes_nothing(tmp_path, monkeypatch, header):
    monkeypatch.chdir(tmp_path)
    content = npy(header=header)
    npz("weight.npz", [("weight.npy", content)])
    npz("deflated.npz", [("weight.npy", content + bytes(1000))], zipfile.ZIP_DEFLATED)
    with open("samples.npy", "wb") as file:
        file.write(content)
    tracemalloc.start()
    try:
        for load, name in [
            (ms.WeightSets.load, "weight.npz"),
            (ms.WeightSets.load, "deflated.npz"),
            (lambda name: array_files.read(name, "samples"), "samples.npy"),
        ]:
            with pytest.raises(ValueError, match=name) as caught:
                load(name)
            assert len(str(caught.value)) < 1000
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()
    assert not os.path.exists("executed")


def test_an_entry_that_lies_about_its_size(tmp_path):
    path = tmp_path / "sets.npz"
    npz(path, [("weight.npy", ONE)])
    content = bytearray(path.read_bytes())
    entry = content.index(b"PK\1\2")
    content[entry + 24 : entry + 28] = struct.pack("<I", 1 << 31)
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"it claims to have 2147483648 bytes, but 144"):
        ms.WeightSets.load(path)


def test_arrays_that_do_not_fit_in_memory(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "sets.npz", weight=np.zeros((1000, 1000)))
    assert (tmp_path / "sets.npz").stat().st_size < 20_000
    ms.WeightSets(np.zeros((100, 1000))).save(tmp_path / "sets.safetensors")
    (tmp_path / "samples.csv").write_text("1\n" * 50_000)
    monkeypatch.setattr(amounts, "available", lambda: 100_000)
    for load, name in [
        (ms.WeightSets.load, "sets.npz"),
        (ms.WeightSets.load, "sets.safetensors"),
        (lambda path: array_files.read(path, "samples"), "samples.csv"),
    ]:
        with pytest.raises(MemoryError, match=rf"{name} takes .*, but only 97.7 KiB are available"):
            load(tmp_path / name)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compression_is_refused(tmp_path, method):
    npz(tmp_path / "sets.npz", [("weight.npy", ONE)], method)
    with pytest.raises(ValueError, match="uses a compression that NumPy does not write"):
        ms.WeightSets.load(tmp_path / "sets.npz")


def test_an_encrypted_entry_is_refused(tmp_path):
    path = tmp_path / "sets.npz"
    npz(path, [("weight.npy", ONE)])
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\1\2") + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"'weight' in .*sets.npz is encrypted"):
        ms.WeightSets.load(path)


def test_what_numpy_has_not_is_refused_by_name(tmp_path):
    header = b'{"weight":{"dtype":"F8_E4M3","shape":[1,2],"data_offsets":[0,2]}}'
    path = tmp_path / "sets.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + b"\0\0")
    with pytest.raises(ValueError, match=r"'weight' in .* has dtype F8_E4M3, which NumPy lacks"):
        ms.WeightSets.load(path)


# Errors of the system.


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_errors_of_the_system_are_not_changed(tmp_path, suffix):
    with pytest.raises(FileNotFoundError):
        ms.WeightSets.load(tmp_path / f"none{suffix}")
    (tmp_path / f"folder{suffix}").mkdir()
    with pytest.raises(IsADirectoryError):
        ms.WeightSets.load(tmp_path / f"folder{suffix}")
    with pytest.raises(IsADirectoryError, match="is a folder"):
        SAVED.save(tmp_path / f"folder{suffix}")
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        SAVED.save(tmp_path / "none" / f"sets{suffix}")
    os.mkfifo(tmp_path / f"pipe{suffix}")
    with pytest.raises(FileExistsError, match="not a regular file"):
        SAVED.save(tmp_path / f"pipe{suffix}")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read and write everything")
def test_permission_denied(tmp_path):
    SAVED.save(tmp_path / "sets.npz")
    (tmp_path / "sets.npz").chmod(0)
    with pytest.raises(PermissionError):
        ms.WeightSets.load(tmp_path / "sets.npz")
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError):
        SAVED.save(tmp_path / "other.npz")


def test_names_of_files():
    for function in (SAVED.save, ms.WeightSets.load):
        with pytest.raises(ValueError, match=r"sets.npy must end in .npz or .safetensors"):
            function("sets.npy")
    with pytest.raises(ValueError, match=r"write it with WeightSets.save"):
        ms.WeightSets.load("sets.npy")
    with pytest.raises(ValueError, match=r"table.txt must end in one of .npy, .npz, .csv"):
        array_files.read("table.txt", "samples")


def test_dtypes_without_a_safetensors_equivalent(tmp_path):
    path = tmp_path / "sets.safetensors"
    for dtype in ("longdouble", "complex128"):
        with pytest.raises(ValueError, match=r"weight has dtype .* expected a name that ends in"):
            ms.WeightSets(np.ones((1, 1), dtype)).save(path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_failure_leaves_the_file_that_was_there(tmp_path, monkeypatch, suffix, call):
    path = tmp_path / f"sets{suffix}"
    SAVED.save(path)
    before = path.read_bytes()

    def fail(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(OSError, match="No space left"):
        SAVED[:1].save(path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == [path.name]


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "link.npz").symlink_to(tmp_path / "there" / "sets.npz")
    SAVED.save(tmp_path / "link.npz")
    assert (tmp_path / "link.npz").is_symlink()
    assert ms.WeightSets.load(tmp_path / "there" / "sets.npz") == SAVED


def test_files_have_the_permissions_of_others(tmp_path):
    before = os.umask(0o027)
    try:
        SAVED.save(tmp_path / "sets.npz")
    finally:
        os.umask(before)
    assert (tmp_path / "sets.npz").stat().st_mode & 0o777 == 0o640


# Arrays for the command line.


@given(data=st.data(), suffix=st.sampled_from([".npy", ".npz", ".safetensors"]))
def test_arrays_come_back_bit_for_bit(tmp_path, data, suffix):
    dtype = data.draw(st.sampled_from(IN_SAFETENSORS if suffix == ".safetensors" else DTYPES))
    shape = tuple(data.draw(st.lists(st.integers(0, 4), min_size=1, max_size=3)))
    array = data.draw(arrays_of_any_bits(dtype, shape))
    if data.draw(st.booleans()) and suffix != ".safetensors":
        array = np.asfortranarray(array)
    path = tmp_path / f"array{suffix}"
    array_files.write(path, array, "any", (), ())
    assert not list(tmp_path.glob(".*.tmp"))
    back = array_files.read(path, "samples")
    assert back.dtype == array.dtype
    assert back.shape == shape
    assert back.tobytes() == array.tobytes()


@given(data=st.data())
def test_a_truncated_array_is_refused(tmp_path, data):
    path = tmp_path / "array.npy"
    np.save(path, np.arange(12.0).reshape(3, 4))
    content = path.read_bytes()
    path.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    with pytest.raises(ValueError, match=r"array.npy is (truncated|not a NumPy array)"):
        array_files.read(path, "samples")


def test_samples_are_mapped_and_not_read(tmp_path):
    path = tmp_path / "large.npy"
    np.lib.format.open_memmap(path, "w+", np.float32, (1 << 30, 10)).flush()  # a hole of 40 GB
    samples = array_files.read(path, "samples")
    assert samples.shape == (1 << 30, 10)
    assert not samples.flags.writeable
    assert samples[-1].tolist() == [0] * 10


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_one_array_of_several(tmp_path, suffix):
    import safetensors.numpy

    path = tmp_path / f"arrays{suffix}"

    def save(**arrays):
        if suffix == ".npz":
            np.savez(path, **arrays)
        else:
            safetensors.numpy.save_file(arrays, path)

    save(one=np.ones(2), samples=np.zeros(2))
    assert array_files.read(path, "samples").tolist() == [0, 0]
    with pytest.raises(ValueError, match="arrays one, samples; expected exactly one, or targets"):
        array_files.read(path, "targets")
    save(one=np.ones(2))
    assert array_files.read(path, "targets").tolist() == [1, 1]


def test_a_text_is_no_array_of_numbers(tmp_path):
    np.save(tmp_path / "text.npy", np.array("text"))
    with pytest.raises(ValueError, match="contains text; expected an array of numbers"):
        array_files.read(tmp_path / "text.npy", "samples")


@given(
    data=st.data(),
    dtype=st.sampled_from(["bool", "int8", "uint64", "float16", "float32", "float64"]),
)
def test_tables_come_back(tmp_path, data, dtype):
    array = data.draw(arrays_of_any_bits(dtype, (3, 2, data.draw(st.integers(1, 3)))))
    path = tmp_path / "table.csv"
    names = [f"f{f}" for f in range(array.shape[2])]
    csv.write(path, array, ["set", "sample"], names, {})
    table = array_files.read(path, "samples")
    assert table[:, :2].tolist() == [[n, b] for n in range(3) for b in range(2)]
    numbers = table[:, 2:].astype(dtype) if dtype != "uint64" else table[:, 2:]
    assert_same_bits(numbers, array.reshape(6, -1).astype(numbers.dtype))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1,5\n3,4\n", [[1, 5], [3, 4]]),
        ('a,"b, c"\n1,2\n\n3,4', [[1, 2], [3, 4]]),
        ('a,"b\nc"\n1,2\n', [[1, 2]]),
        ("\ufeffa,b\r\n 1 ,2e3\r\n", [[1, 2000]]),
        ("-inf,1\n", [[-np.inf, 1]]),
        ("a,b\n", np.empty((0, 2))),
        ("# a,b\n1,2\n", [[1, 2]]),
        ("_x,\u00e4\n1,2\n", [[1, 2]]),
        ("\n\n5\n6\n", [[5], [6]]),
        ('"1.5"\n6\n', [[1.5], [6]]),
        ("nan,nan\n1,2\n", [[np.nan, np.nan], [1, 2]]),
        ("0.0,1.0\n3,4\n", [[0, 1], [3, 4]]),
        ("2,1\n3,4\n", [[2, 1], [3, 4]]),
        ("1\n0\n", [[1], [0]]),
        ("1,1,1\n3,4,5\n", [[1, 1, 1], [3, 4, 5]]),
    ],
)
def test_tables(tmp_path, text, expected):
    path = tmp_path / "table.csv"
    path.write_text(text, encoding="utf-8", newline="")
    for has_header in (None, False):
        table = array_files.read(path, "", has_header)
        assert_same_bits(table, np.array(expected, float))
    n_lines = len(text.strip().splitlines())
    if n_lines > 1:
        assert len(array_files.read(path, "", True)) <= len(expected)


# Ambiguous first lines: --header makes them a header, --no-header makes numbers data.
MAY_BE_EITHER = ["0", "0,1", "0,1,2", "1,2", "7,8", "2019,2020,2021", "400,410,420", " 3 , 4 "]
IS_NEITHER = [
    *("NA,NA", ",", "-,-", "nan,x", "a,", ",a", "1,a", "a,1", ",0,1", "id,2019,2020", "n/a,N/A"),
    *("1;2", "1,5;2,5", "1\t2", '"1,5","2,5"', "1 000", "1_000", "5%", "#N/A", "<NA>", "None"),
    *("true,false", "True", "2020-01-01", "12:30", "$5", "1.2.3", "--1", "0x10", "1+2j"),
]


@pytest.mark.parametrize("line", MAY_BE_EITHER)
def test_a_first_line_that_may_be_either(tmp_path, line):
    path, n_columns = tmp_path / "table.csv", line.count(",") + 1
    path.write_text(f"{line}\n" + ",".join(["5"] * n_columns) + "\n")
    with pytest.raises(ValueError, match=r"table.csv:1: .* --header or --no-header"):
        array_files.read(path, "samples")
    assert array_files.read(path, "samples", True).shape == (1, n_columns)
    assert array_files.read(path, "samples", False).shape == (2, n_columns)


@pytest.mark.parametrize("line", IS_NEITHER)
def test_a_first_line_that_is_neither(tmp_path, line):
    path, n_columns = tmp_path / "table.csv", len(next(csv_module.reader([line])))
    path.write_text(f"{line}\n" + ",".join(["5"] * n_columns) + "\n")
    for has_header in (None, False):
        with pytest.raises(ValueError, match=r"table.csv:1: "):
            array_files.read(path, "samples", has_header)
    assert array_files.read(path, "samples", True).shape == (1, n_columns)


cells = st.sampled_from(["1", "0", "2", "-3.5", "1e3", "nan", "inf", "", "NA", "a", "x1", "1;2"])
cells |= st.text(alphabet="abz019,;. \t-+_eE#\"'\u00e9\u0663", max_size=4)


@given(rows=st.integers(1, 4).flatmap(lambda n: st.lists(st.lists(cells, min_size=n, max_size=n))))
def test_no_line_of_a_table_is_lost(tmp_path, rows):
    """Every row with a number is data or an error, unless a header is requested."""
    path = tmp_path / "table.csv"
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv_module.writer(file).writerows(rows)
    rows = [row for row in rows if row]
    for has_header in (None, False, True):
        try:
            table = array_files.read(path, "samples", has_header)
        except ValueError as error:
            assert str(path) in str(error)  # noqa: PT017
            continue
        lost = rows[0] if len(table) < len(rows) else []
        assert len(table) == len(rows) - bool(lost)
        if has_header is not True:
            assert all(cell.strip("# ")[:1].isalpha() or "_" in cell for cell in lost)
        for row, read in zip(rows[bool(lost) :], table, strict=True):
            np.testing.assert_array_equal(read, [float(cell) for cell in row])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "table.csv:1: empty"),
        ("1,4\n3,x\n", "table.csv:2: could not convert string 'x' to float64, column 2"),
        ("a,b\n1,2\n\n3,\n", "table.csv:4: could not convert string '' to float64, column 2"),
        ("1,x\n", "table.csv:1: column 2 is 'x'; expected numbers, or names"),
        ("a,b\n1,2\n1\n", "table.csv:3: 1 cell; expected 2, as in the first row$"),
        ("1,5\n1,2,3\n", "table.csv:2: 3 cells; expected 2, as in the first row$"),
        ("a,b\n1,2,3\n", "table.csv:2: 3 cells; expected 2, as in the header$"),
        ("a,b,c\n0,5\n1,5\n", "table.csv:2: 2 cells; expected 3, as in the header$"),
        ("a\n\n-0,5\n1,5\n2,5\n", "table.csv:3: 2 cells; .* have a point, not a comma$"),
        ("1\n1_000\n", "table.csv:2: could not convert string '1_000'"),
        (
            "a,b\n1;2\n",
            "table.csv:2: 1 cell; expected 2, .*; cells are separated by commas, not by ';'$",
        ),
        (
            "a;b\n1;2\n",
            "table.csv:1: 1 cell; .*; cells are separated by commas, not by ';'$",
        ),
        (
            "a\tb\n1\t2\n",
            r"table.csv:1: 1 cell; .*; cells are separated .*, not by '\\t'$",
        ),
        (
            ",a,b\n0,1,2\n",
            r"column 1 is ''; .*; write the table without its index: to_csv\(path, i",
        ),
        ("a,b\n1,2\n1,2,3\n\n", r"table.csv:\d: 3 cells; expected 2, as in the first row$"),
        ("a,b\n,2\n", r"table.csv:2: .* column 1; write missing values as nan: to_csv\(path, na"),
        ("a,b\n1,\n", r"table.csv:2: .* column 2; write missing values as nan: to_csv\(path, na"),
        ("1,2\n\udcff\n", "table.csv:.: not a table of comma-separated numbers"),
    ],
)
def test_tables_with_errors(tmp_path, text, message):
    path = tmp_path / "table.csv"
    path.write_text(text, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(ValueError, match=message):
        array_files.read(path, "samples")


def test_no_table_of_complex_numbers(tmp_path):
    with pytest.raises(ValueError, match="cannot hold complex numbers"):
        csv.write(tmp_path / "table.csv", np.ones((1, 1), complex), [], [0], {})
