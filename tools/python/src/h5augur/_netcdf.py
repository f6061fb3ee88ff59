"""Asking netCDF4-python for the filter, which has no call of its own for filters that it does not know."""

from __future__ import annotations

import ctypes
import sys
from typing import Any

from ._filter import Augur


def compress_variable(variable: Any, augur: Augur) -> None:
    """Makes a new variable of netCDF4-python compressed with Augur.

    Call it right after ``createVariable`` (with ``chunksizes=``, without ``compression=``) and before
    anything is written:

    .. code-block:: python

        wind = nc.createVariable("wind", "f4", ("time", "lat", "lon"), chunksizes=(16, 73, 144))
        h5augur.compress_variable(wind, h5augur.Augur(absolute=0.01))

    :param variable: A ``netCDF4.Variable`` of a file in the format NETCDF4 or NETCDF4_CLASSIC
    :param augur: What may be lost
    :raises TypeError: not a netCDF4.Variable or not an Augur
    :raises RuntimeError: the netCDF library refuses, with its reason
    """
    module = sys.modules.get("netCDF4._netCDF4")
    if module is None or not isinstance(variable, module.Variable):
        raise TypeError(f"a netCDF4.Variable is needed, not {type(variable).__name__}")
    if not isinstance(augur, Augur):
        raise TypeError(f"an h5augur.Augur is needed, not {type(augur).__name__}")
    if variable.chunking() == "contiguous":
        raise RuntimeError(
            f"variable {variable.name!r} is not chunked: give createVariable chunksizes=, e.g. 16 time steps by a whole frame"
        )
    library = ctypes.CDLL(module.__file__)
    define = library.nc_def_var_filter
    define.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_uint, ctypes.c_size_t, ctypes.POINTER(ctypes.c_uint)]
    library.nc_strerror.argtypes = [ctypes.c_int]
    library.nc_strerror.restype = ctypes.c_char_p
    words = augur.filter_options
    status = define(variable._grpid, variable._varid, augur.filter_id, len(words), (ctypes.c_uint * len(words))(*words))
    if status != 0:
        reason = library.nc_strerror(status).decode(errors="replace")
        raise RuntimeError(
            f"netCDF refuses the filter for variable {variable.name!r}: {reason}; "
            "the file must be NETCDF4 and the variable new, with nothing written to it yet"
        )
