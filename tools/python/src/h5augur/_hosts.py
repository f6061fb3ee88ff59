"""Making the plugin found by every libhdf5 of this process and of its child processes.

A Python process may hold several copies of libhdf5 (the wheels of h5py and netCDF4 each bring one
under a name of their own), and each looks for plugins along a path of its own:

- copies that are loaded later, and child processes, take it from the environment variable
  HDF5_PLUGIN_PATH;
- copies that are loaded already have read that variable; they are told through H5PLprepend.

A process that only *writes* to a dataset which exists already never loads the filter's plugin by
itself (HDF5 looks filters up when a dataset is created or read), so each copy that is loaded is
also asked whether the filter is available, which loads it.
"""

from __future__ import annotations

import ctypes
import glob
import importlib.util
import logging
import os
import re
import sys
from collections.abc import Iterator
from contextlib import nullcontext

from ._words import FILTER_ID

logger = logging.getLogger(__name__)

PLUGIN_PATH: str = os.path.join(os.path.dirname(os.path.abspath(__file__)), "plugins")
"""Directory of the HDF5 filter plugin, for HDF5_PLUGIN_PATH."""

_ENV = "HDF5_PLUGIN_PATH"
# libhdf5.so.310, libhdf5-9e18f0c6.so.320.0.0, libhdf5_serial.so.103, ... but not its companions.
_LIBHDF5 = re.compile(r"/libhdf5(?!_(hl|cpp|fortran|java|tools)|hl|_f90)[^/]*\.so[^/]*$")


def register() -> bool:
    """Makes the plugin found; importing h5augur does it already.

    Call it again after importing a package that brings a libhdf5 of its own (netCDF4, tables, ...) if
    this process only appends to datasets that exist already. It changes no other filter.

    :return: True if every libhdf5 that this process has loaded now has the filter
    """
    _set_environment()
    found = True
    with _h5py_lock():
        for name, library in _loaded_hdf5():
            if not _prepend(library) or not _available(library):
                found = False
                logger.warning("%s does not find the Augur filter in %s", name, PLUGIN_PATH)
    return found


def _set_environment() -> None:
    """Puts the plugin first on HDF5_PLUGIN_PATH; what was found without it stays found."""
    current = os.environ.get(_ENV)
    paths = current.split(os.pathsep) if current else _defaults()
    if PLUGIN_PATH not in paths:
        os.environ[_ENV] = os.pathsep.join([PLUGIN_PATH, *paths])


def _defaults() -> list[str]:
    """Directories that hosts search while HDF5_PLUGIN_PATH is not set, as far as they exist."""
    if sys.platform == "win32":
        return [p for p in [os.path.expandvars(r"%ALLUSERSPROFILE%\hdf5\lib\plugin")] if os.path.isdir(p)]
    paths = ["/usr/local/hdf5/lib/plugin", "/usr/local/lib/plugin", "/usr/local/lib/hdf5/plugin"]
    paths += sorted(glob.glob("/usr/lib/*/hdf5/plugins") + glob.glob("/usr/lib/*/hdf5/*/plugins"))
    # netCDF4's wheel sets the variable to its own plugins (blosc, zstd, ...) unless it is set.
    try:
        spec = importlib.util.find_spec("netCDF4")
    except (ImportError, ValueError):
        spec = None
    for location in (spec.submodule_search_locations or []) if spec else []:
        if glob.glob(os.path.join(location, "plugins", "*nczhdf5filters.*")):
            paths.append(os.path.join(location, "plugins"))
    return [p for p in paths if os.path.isdir(p)]


def _h5py_lock():
    """h5py's lock, under which libhdf5 may be called, if h5py is loaded."""
    if "h5py" not in sys.modules:
        return nullcontext()
    try:
        from h5py._objects import phil
    except ImportError:
        return nullcontext()
    return phil


def _loaded_hdf5() -> Iterator[tuple[str, ctypes.CDLL]]:
    """Every copy of libhdf5 in this process, with the name of the file that leads to it."""
    files: list[str] = []
    try:
        with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as maps:
            for line in maps:
                path = line.rstrip("\n").partition("/")[1:]
                path = "".join(path)
                if _LIBHDF5.search(path) and path not in files:
                    files.append(path)
    except OSError:  # not Linux
        pass
    if not files:  # through the extension modules that link it, as dlsym searches their dependencies
        for name in ("h5py.h5pl", "netCDF4._netCDF4", "tables.utilsextension"):
            module = sys.modules.get(name)
            file = getattr(module, "__file__", None)
            if file and sys.platform != "win32":
                files.append(file)
    for file in files:
        try:
            library = ctypes.CDLL(file, mode=getattr(os, "RTLD_NOLOAD", 0) | getattr(os, "RTLD_LAZY", 0))
            library.H5PLprepend.argtypes = [ctypes.c_char_p]
            library.H5PLsize.argtypes = [ctypes.POINTER(ctypes.c_uint)]
            library.H5PLget.argtypes = [ctypes.c_uint, ctypes.c_char_p, ctypes.c_size_t]
            library.H5PLget.restype = ctypes.c_ssize_t
            library.H5Zfilter_avail.argtypes = [ctypes.c_int]
        except (OSError, AttributeError) as error:  # unloaded meanwhile, or HDF5 before 1.10
            logger.debug("%s: %s", file, error)
            continue
        yield file, library


def _prepend(library: ctypes.CDLL) -> bool:
    """Puts the plugin's directory first on the library's own path unless it is there."""
    wanted = os.fsencode(PLUGIN_PATH)
    count = ctypes.c_uint()
    if library.H5PLsize(ctypes.byref(count)) < 0:
        return False
    for index in range(count.value):
        length = library.H5PLget(index, None, 0)
        if length == len(wanted):
            buffer = ctypes.create_string_buffer(length + 1)
            if library.H5PLget(index, buffer, length + 1) == length and buffer.value == wanted:
                return True
    return library.H5PLprepend(wanted) >= 0


def _available(library: ctypes.CDLL) -> bool:
    """Whether the library has the filter; loads the plugin if it has not yet."""
    return library.H5Zfilter_avail(FILTER_ID) > 0
