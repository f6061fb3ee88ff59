"""Trained models: their names, and carrying them inside the HDF5 files whose chunks need them.

A model is a safetensors file, and its name is the SHA-256 of that file. A chunk that was written with a
model says which, and can be read where the model is found; in the file itself it cannot get lost.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
import zlib
from collections.abc import Iterable
from contextlib import nullcontext
from typing import Any

GROUP = "/_augur/models"
"""Where a file holds models: one dataset of bytes for each, by its SHA-256 in hexadecimal."""

ATTRIBUTE = "attribute"
"""Stands for the model that the dataset's attribute names."""

_ATTRIBUTE_NAME = "augur_model"

# As many bytes as HDF5 takes for the index of a chunked dataset, without which there is no compressing.
_INDEX = 2300

_MAX_LENGTH = 256 << 20

_NAME = re.compile(rf"(?:sha256:|{GROUP}/)?([0-9a-f]{{64}})|sha256:([0-9a-f]{{32}})", re.IGNORECASE)


def named(model: str | os.PathLike[str]) -> str:
    """The digest in hexadecimal of a model that is given by its name or as a file."""
    if isinstance(model, str):
        match = _NAME.fullmatch(model)
        if match:
            return (match[1] or match[2]).lower()
        if model.lower().startswith("sha256:"):
            raise ValueError(f"model {model!r} is no SHA-256: 64 hexadecimal digits are expected after \"sha256:\"")
    return model_digest(model)


def model_digest(model: str | os.PathLike[str] | bytes) -> str:
    """The name of a model: the SHA-256 of its file, in hexadecimal.

    :param model: Path of a model file, or its bytes
    :raises FileNotFoundError: no such file
    :raises ValueError: not a model file
    """
    return hashlib.sha256(_read(model)).hexdigest()


def embed_model(
    file: Any, model: str | os.PathLike[str] | bytes, dataset: Any = None
) -> str:
    """Puts a model into an HDF5 or netCDF-4 file, where reading and writing find it whatever happens to the model file.

    .. code-block:: python

        with h5py.File("wind.h5", "w") as f:
            model = h5augur.embed_model(f, "wind.safetensors")
            f.create_dataset("wind", data=wind, chunks=(16, 73, 144), **h5augur.Augur(absolute=0.01, model=model))

    A file holds a model once, however often it is embedded.

    :param file: An open, writable ``h5py.File`` (or a group or dataset of it) or ``netCDF4.Dataset``, or the path of a file
        that no program has open
    :param model: Path of a model file, or its bytes
    :param dataset: Name of a dataset (for netCDF a variable), or several, whose attribute ``augur_model`` shall name the
        model: `Augur(model=True)` takes it from there. Not needed where ``Augur(model=...)`` names the model itself.
    :return: Path of the model in the file
    :raises ValueError: not a model file; the file is not writable
    :raises KeyError: no such dataset
    """
    data = _read(model)
    path = f"{GROUP}/{hashlib.sha256(data).hexdigest()}"
    with _opened(file) as f:
        kind = _netcdf if _is_netcdf(f) else _h5py
        kind(f, path, data, _names(dataset))
    return path


def _read(model: str | os.PathLike[str] | bytes) -> bytes:
    """The bytes of a model file that is one."""
    if isinstance(model, (bytes, bytearray, memoryview)):
        data, what = bytes(model), "these bytes"
    else:
        what = os.fspath(model)
        try:
            if os.path.getsize(model) > _MAX_LENGTH:
                raise ValueError(f"{what} is no Augur model: it is larger than {_MAX_LENGTH} bytes")
            with open(model, "rb") as f:
                data = f.read()
        except FileNotFoundError:
            raise FileNotFoundError(
                f"there is no model file {what!r} (nor is that a name, \"sha256:<64 hexadecimal digits>\")"
            ) from None
    length = int.from_bytes(data[:8], "little")
    try:
        header = json.loads(data[8 : 8 + length]) if 8 < 8 + length <= len(data) else None
        made = header["__metadata__"]["format"]
    except (ValueError, KeyError, TypeError, RecursionError):
        made = None
    if made != "augur-model":
        raise ValueError(f"{what} is no Augur model: a safetensors file that `augur train` made is expected")
    return data


def _opened(file: Any):
    """A context with the open file."""
    if not isinstance(file, (str, bytes, os.PathLike)):
        return nullcontext(file)
    try:
        import h5py
    except ImportError:
        import netCDF4

        return netCDF4.Dataset(os.fspath(file), "r+")
    return h5py.File(file, "r+")


def _is_netcdf(file: Any) -> bool:
    module = sys.modules.get("netCDF4._netCDF4")
    return module is not None and isinstance(file, module.Dataset)


def _names(dataset: Any) -> list[str]:
    if dataset is None:
        return []
    alone = isinstance(dataset, str) or hasattr(dataset, "shape") or not isinstance(dataset, Iterable)
    names = [_path(one) for one in ([dataset] if alone else dataset)]
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"dataset must be a name or several, not {name!r}")
    return names


def _path(dataset: Any) -> Any:
    """The path of a dataset that is given as an object; of a name the name."""
    if hasattr(dataset, "group"):  # a netCDF4.Variable, whose name is that in its group
        return f"{dataset.group().path.rstrip('/')}/{dataset.name}"
    return getattr(dataset, "name", dataset)


def _h5py(file: Any, path: str, data: bytes, datasets: list[str]) -> None:
    import numpy

    module = sys.modules.get("h5py")
    if module is None or not isinstance(file, module.HLObject):
        raise TypeError(f"an h5py.File, a netCDF4.Dataset or a path is needed, not {type(file).__name__}")
    file = file.file
    if file.mode == "r":
        raise ValueError(f"{file.filename} is open for reading only, a model cannot be embedded")
    for name in datasets:
        if not isinstance(file[name], module.Dataset):
            raise KeyError(f"{name!r} is no dataset")
    if path not in file:
        smaller = len(zlib.compress(data, 9)) + _INDEX < len(data)
        how = {"chunks": (len(data),), "compression": "gzip", "compression_opts": 9} if smaller else {}
        _group(module, file).create_dataset(path, data=numpy.frombuffer(data, "u1"), **how)
    elif file[path][...].tobytes() != data:
        raise ValueError(f"{file.filename} holds something else as {path}: delete that first")
    for name in datasets:
        # Of fixed length: that is kept with the dataset, while a heap for one string takes 4 KiB.
        file[name].attrs[_ATTRIBUTE_NAME] = numpy.bytes_(path.encode("ascii"))


def _group(module: Any, file: Any) -> Any:
    """The group of the models. Where the file keeps the order of links, so does it: netCDF insists."""
    group = file["/"]
    ordered = group.id.get_create_plist().get_link_creation_order() & module.h5p.CRT_ORDER_TRACKED != 0
    for name in GROUP.strip("/").split("/"):
        group = group[name] if name in group else group.create_group(name, track_order=ordered)
    return group


def _netcdf(file: Any, path: str, data: bytes, datasets: list[str]) -> None:
    import numpy

    while file.parent is not None:
        file = file.parent
    if not file.data_model.startswith("NETCDF4") or file.data_model == "NETCDF4_CLASSIC":
        raise ValueError(
            f"{file.filepath()} is of the format {file.data_model}, which has no groups: embed the model when the file is "
            "closed, by its path"
        )
    variables = []
    for name in datasets:
        group, _, last = name.strip("/").rpartition("/")
        try:
            variables.append((file[group] if group else file).variables[last])
        except (KeyError, IndexError):
            raise KeyError(f"there is no variable {name!r}") from None
    *_, digest = path.split("/")
    group = file
    for name in GROUP.strip("/").split("/"):
        group = group.groups[name] if name in group.groups else group.createGroup(name)
    if digest not in group.variables:
        dimension = f"bytes_{len(data)}"
        if dimension not in group.dimensions:
            group.createDimension(dimension, len(data))
        smaller = len(zlib.compress(data, 9)) + _INDEX < len(data)
        how = {"compression": "zlib", "complevel": 9, "shuffle": False, "chunksizes": (len(data),)} if smaller else {}
        variable = group.createVariable(digest, "u1", (dimension,), fill_value=False, **how)
        variable.set_auto_maskandscale(False)
        variable[:] = numpy.frombuffer(data, "u1")
        file.sync()
    else:
        variable = group.variables[digest]
        variable.set_auto_maskandscale(False)
        if variable[...].tobytes() != data:
            raise ValueError(f"{file.filepath()} holds something else as {path}: delete that first")
    for variable in variables:
        variable.setncattr(_ATTRIBUTE_NAME, path)
