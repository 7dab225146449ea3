"""What the tests of the HLS product share: the headers of a dialect, and compiled harnesses around them."""

import ctypes

import numpy as np
import pytest

from hwcomp.backends.hls import _closure
from hwcomp.verify import hls_host

needs_headers = pytest.mark.skipif(bool(hls_host.missing()), reason=hls_host.missing() or "the headers are there")


def library(source, headers, dialect):
    """A ctypes library of C++ `source`, which may include the cell headers named."""
    files = {f"{name}.h": text for name, text in _closure(set(headers), dialect).items()}
    flags = (*hls_host.FLAGS, "-shared")
    return ctypes.CDLL(str(hls_host.compiled(files, source, dialect, "harness.so", flags)))


def call(function, *args):
    """Arrays as pointers, integers as int64."""
    function(*(a.ctypes.data_as(ctypes.c_void_p) if isinstance(a, np.ndarray) else ctypes.c_int64(a) for a in args))
