"""NumPy archives under any name: members are written one by one, deterministically; reading allows no pickles.

np.savez takes names as keyword arguments and so fails on a tensor called `file`; names from a model may be anything.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np

from hwcomp.errors import UsageError, shown

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
    """All arrays of a file, each read once. UsageError where it is missing, damaged or holds objects."""
    try:
        archive = np.load(path, allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise UsageError(f"'{Path(path).name}' is a single array", fix="give an .npz file with named arrays")
        with archive:
            return {name: archive[name] for name in archive.files}
    except FileNotFoundError:
        raise UsageError(f"there is no file '{path}'") from None
    except UsageError:
        raise
    except Exception as error:  # zlib, zipfile, tokenize and NumPy raise a dozen unrelated types for damaged archives
        why = (str(error).splitlines() or [type(error).__name__])[0]
        raise UsageError(f"'{Path(path).name}' is not a readable .npz file", why=why) from None
