"""NumPy archives under any name: members are written one by one, deterministically; reading allows no pickles.

np.savez takes names as keyword arguments and so fails on a tensor called `file`; names from a model may be anything.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np

from hwcomp.errors import UsageError, shown, shown_path

_LONGEST = 60000  # bytes of a member name; the zip format ends at 65535


def dumps(arrays: dict[str, np.ndarray]) -> bytes:
    """The archive as bytes; the same arrays give the same bytes."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            if "\0" in name or len(name.encode()) > _LONGEST:
                raise UsageError(f"a tensor called '{shown(name)}' can't be stored in an .npz file", fix="rename it")
            member = io.BytesIO()
            np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)
            info = zipfile.ZipInfo(name + ".npy", date_time=(1980, 1, 1, 0, 0, 0))
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, member.getvalue())
    return out.getvalue()


def load(path: Path | str) -> dict[str, np.ndarray]:
    """All arrays of a file, each read once. UsageError where it is missing, damaged or holds objects.

    Members are read by their exact names: NumPy's own reader takes `a.npy` and `a` for the same tensor.
    """
    name = Path(path).name
    try:
        with zipfile.ZipFile(path) as archive:
            return {m.filename.removesuffix(".npy"): _member(archive, m) for m in archive.infolist()}
    except FileNotFoundError:
        raise UsageError(f"there is no file '{shown_path(path)}'") from None
    except zipfile.BadZipFile as error:
        with Path(path).open("rb") as file:
            single = file.read(len(np.lib.format.MAGIC_PREFIX)) == np.lib.format.MAGIC_PREFIX
        if single:
            raise UsageError(f"'{shown(name)}' is a single array", fix="give an .npz file with named arrays") from None
        raise UsageError(f"'{shown(name)}' is not a readable .npz file", why=str(error)) from None
    except OSError as error:
        raise UsageError(f"'{shown_path(path)}' can't be read", why=error.strerror or "") from None
    except Exception as error:  # zlib, zipfile, tokenize and NumPy raise a dozen unrelated types for damaged archives
        why = (str(error).splitlines() or [type(error).__name__])[0]
        raise UsageError(f"'{shown(name)}' is not a readable .npz file", why=why) from None


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> np.ndarray:
    with archive.open(info) as member:
        return np.lib.format.read_array(member, allow_pickle=False)
