"""Error-bounded compression of time-evolving fields in HDF5 and netCDF-4 files.

Importing this package makes the HDF5 filter plugin that it carries found by h5py, netCDF4 and every
other libhdf5 of this process and of its child processes; reading needs nothing else.

.. code-block:: python

    import h5py, h5augur

    with h5py.File("wind.h5", "w") as f:
        f.create_dataset("wind", data=wind, chunks=(16, 73, 144), **h5augur.Augur(absolute=0.01))
"""

from ._filter import Augur, from_filter_options
from ._hosts import PLUGIN_PATH, register
from ._models import embed_model, model_digest
from ._netcdf import compress_variable
from ._version import version
from ._words import FILTER_ID, PRESETS

__version__ = version

FILTERS: dict[str, int] = {Augur.filter_name: Augur.filter_id}
"""Mapping of the provided filter's name to its HDF5 filter id, as hdf5plugin has it."""

__all__ = [
    "FILTERS",
    "FILTER_ID",
    "PLUGIN_PATH",
    "PRESETS",
    "Augur",
    "compress_variable",
    "embed_model",
    "from_filter_options",
    "model_digest",
    "register",
    "version",
]

register()
