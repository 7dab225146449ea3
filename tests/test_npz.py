"""Archives under any name: round trip, same bytes, and nothing that numpy would run or mix up."""

import io
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwcomp import npz
from hwcomp.errors import UsageError

NAMES = [
    "x", "file", "allow_pickle", "self", "../../x", "/abs", "a/b", 'a;system("x")', "endmodule", "", " ", ".", "..", "x.npy",
    "x.npy.npy", "\U0001f600" * 50, "n" * 10_000, "a\nb", "a\\b", "ä", "*/", "`", "con", "labels", "x.q",
]  # fmt: skip


def arrays():
    return {name: np.arange(i + 1, dtype=np.int16) - i for i, name in enumerate(NAMES)}


def back(data, tmp_path):
    (tmp_path / "a.npz").write_bytes(data)
    return npz.load(tmp_path / "a.npz")


def test_any_name_survives(tmp_path):
    found = back(npz.dumps(arrays()), tmp_path)
    assert list(found) == NAMES
    for name, array in arrays().items():
        assert found[name].dtype == array.dtype
        assert found[name].tolist() == array.tolist()


def test_names_that_end_in_npy_are_kept_apart(tmp_path):
    """numpy's own reader takes the member of 'a' for 'a.npy'."""
    found = back(npz.dumps({"a": np.array([1]), "a.npy": np.array([2]), "a.npy.npy": np.array([3])}), tmp_path)
    assert {n: a.tolist() for n, a in found.items()} == {"a": [1], "a.npy": [2], "a.npy.npy": [3]}


@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20), st.integers(-9, 9), max_size=6
    )
)
def test_any_text_is_a_name(tmp_path_factory, names):
    folder = tmp_path_factory.mktemp("npz")
    found = back(npz.dumps({n: np.array(v) for n, v in names.items()}), folder)
    assert {n: int(a) for n, a in found.items()} == names


@pytest.mark.parametrize("array", [
    np.float32(1.5), np.zeros((0, 3), np.int8), np.array(True), np.arange(6).reshape(2, 3).T, np.arange(4, dtype=">i4"),
    np.array([np.nan, np.inf, -0.0]), np.zeros((1,) * 8, np.uint64),
])  # fmt: skip
def test_any_array_survives(tmp_path, array):
    found = back(npz.dumps({"a": array}), tmp_path)["a"]
    assert found.shape == array.shape
    assert found.tobytes() == np.ascontiguousarray(array).tobytes()
    assert str(found.tolist()) == str(array.tolist())


def test_same_arrays_same_bytes():
    assert npz.dumps(arrays()) == npz.dumps(arrays())


def test_numpy_reads_it(tmp_path):
    with np.load(io.BytesIO(npz.dumps({"x": np.arange(3)}))) as data:
        assert data["x"].tolist() == [0, 1, 2]


@pytest.mark.parametrize("name", ["a\0b", "n" * 70_000, "\U0001f600" * 20_000])
def test_names_that_the_format_can_not_hold_are_refused(name):
    with pytest.raises(UsageError, match="rename it") as caught:
        npz.dumps({name: np.zeros(1)})
    assert len(str(caught.value)) < 400


def pickled(path):
    np.savez(path, x=np.array([{"a": 1}], dtype=object))


def truncated(path):
    path.write_bytes(npz.dumps(arrays())[:-200])


def bad_checksum(path):
    """A member whose compressed bytes are damaged."""
    data = bytearray(npz.dumps({"x": np.random.default_rng(0).integers(0, 255, 4000, np.uint8)}))
    data[300:310] = b"\0" * 10
    path.write_bytes(data)


def no_array(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", b"not an array")


def huge_header(path):
    """A member that claims 2^60 elements."""
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1152921504606846976,), }"
    header += b" " * (63 - len(header) % 64) + b"\n"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)


@pytest.mark.parametrize("broken", [pickled, truncated, bad_checksum, no_array, huge_header])
def test_damaged_archives_are_one_clear_error(tmp_path, broken):
    broken(tmp_path / "a.npz")
    with pytest.raises(UsageError) as caught:
        npz.load(tmp_path / "a.npz")
    assert "'a.npz'" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_other_files_are_refused(tmp_path):
    np.save(tmp_path / "single.npy", np.zeros(3))
    (tmp_path / "text.npz").write_text("hello")
    (tmp_path / "empty.npz").write_bytes(b"")
    for name in ("single.npy", "text.npz", "empty.npz"):
        with pytest.raises(UsageError, match=name):
            npz.load(tmp_path / name)
    with pytest.raises(UsageError, match="there is no file"):
        npz.load(tmp_path / "nothing.npz")
    with pytest.raises(UsageError):
        npz.load(tmp_path)
