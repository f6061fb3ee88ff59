"""Reading a field that changes over time from HDF5, netCDF-3 or netCDF-4, with what a picture of it needs."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace

import numpy as np

HUGE = 1e15  # magnitudes above this are fill values by convention (1e20, 9.97e36, 1e34, ...)


@dataclass
class Field:
    """Values of shape (time, ...), which of them are data, and their labels."""

    name: str
    values: np.ndarray
    valid: np.ndarray
    units: str = ""
    fill: float | None = None
    axes: dict[int, tuple[str, np.ndarray]] = field(default_factory=dict)
    """Label and coordinates of those axes that have them."""

    @property
    def value_range(self) -> float:
        """Largest minus smallest valid value."""
        data = self.values[self.valid]
        return float(data.max()) - float(data.min()) if data.size else 0.0

    def after(self, steps: int) -> Field:
        """The field without its first steps."""
        axes = {k: (label, at[steps:] if k == 0 else at) for k, (label, at) in self.axes.items()}
        return replace(self, values=np.ascontiguousarray(self.values[steps:]), valid=self.valid[steps:], axes=axes)


def load(spec: str, limit: int = 256 << 20) -> Field:
    """The field that `FILE` or `FILE:/dataset` names: without a dataset, the largest numeric one.

    Of a field of more than `limit` bytes the first time steps are taken.
    """
    file, name = spec, None
    if not os.path.exists(file) and ":" in spec:
        file, _, name = spec.rpartition(":")
    if not os.path.exists(file):
        raise SystemExit(f"error: there is no file {file!r}; give DATA=FILE or DATA=FILE:/dataset")
    with open(file, "rb") as f:
        magic = f.read(8)
    if magic[:3] == b"CDF":
        return _from_netcdf3(file, name, limit)
    if magic == b"\x89HDF\r\n\x1a\n":
        return _from_hdf5(file, name, limit)
    raise SystemExit(f"error: {file!r} is neither HDF5 (netCDF-4) nor netCDF-3")


def _usable(dtype: np.dtype, shape: tuple[int, ...]) -> bool:
    return dtype.kind in "fiu" and dtype.itemsize <= 8 and 1 <= len(shape) <= 5 and np.prod(shape) > 1


def _choose(file: str, name: str | None, candidates: dict[str, tuple[np.dtype, tuple[int, ...]]]) -> str:
    """The dataset that was named, or the largest one, floating-point and of two or more axes if possible."""
    usable = {k: v for k, v in candidates.items() if _usable(*v)}
    if name is not None:
        for key in (name, name.lstrip("/"), "/" + name.lstrip("/")):
            if key in usable:
                return key
        known = ", ".join(sorted(usable)) or "none"
        raise SystemExit(f"error: {file!r} has no numeric dataset {name!r} of one to five axes; it has: {known}")
    if not usable:
        raise SystemExit(f"error: {file!r} has no numeric dataset of one to five axes")
    return max(usable, key=lambda k: (len(usable[k][1]) > 1, usable[k][0].kind == "f", np.prod(usable[k][1])))


def _steps(shape: tuple[int, ...], itemsize: int, limit: int) -> int:
    """Number of first time steps that fit the limit, at least one."""
    return max(1, min(shape[0], limit // max(1, int(np.prod(shape[1:])) * itemsize)))


def _finish(name, values, attributes, fills, axes) -> Field:
    values = np.ascontiguousarray(values)
    valid = np.ones(values.shape, bool)
    fills = [f for f in fills if f is not None]
    with np.errstate(invalid="ignore"):
        if values.dtype.kind == "f":
            valid &= np.isfinite(values) & (np.abs(values) < HUGE)
        for fill in fills:
            valid &= values != np.asarray(fill).astype(values.dtype)
    label = str(attributes.get("long_name", name.rsplit("/", 1)[-1])).strip()
    return Field(label.capitalize() if label.isupper() else label, values, valid,
                 str(attributes.get("units", "")).strip(), float(fills[0]) if fills else None, axes)


def _from_netcdf3(file: str, name: str | None, limit: int) -> Field:
    import netCDF4

    with netCDF4.Dataset(file) as nc:
        nc.set_auto_maskandscale(False)
        variables = {k: (np.dtype(v.dtype), v.shape) for k, v in nc.variables.items() if v.dtype is not str}
        var = nc.variables[_choose(file, name, variables)]
        steps = _steps(var.shape, var.dtype.itemsize, limit)
        axes = {}
        for axis, dim in enumerate(var.dimensions):
            coordinate = nc.variables.get(dim)
            if coordinate is not None and coordinate.dtype.kind == "f":
                axes[axis] = (str(getattr(coordinate, "units", dim)), coordinate[...][:steps] if axis == 0 else coordinate[...])
        attributes = {k: var.getncattr(k) for k in var.ncattrs()}
        fills = [attributes.get("_FillValue"), attributes.get("missing_value")]
        values = var[:steps]
        return _finish(var.name, values.astype(values.dtype.newbyteorder("=")), attributes, fills, axes)


def _from_hdf5(file: str, name: str | None, limit: int) -> Field:
    import h5py

    with h5py.File(file, "r") as f:
        found: dict[str, tuple[np.dtype, tuple[int, ...]]] = {}
        f.visititems(lambda k, o: found.update({k: (o.dtype, o.shape)}) if isinstance(o, h5py.Dataset) and o.shape else None)
        dataset = f[_choose(file, name, found)]
        steps = _steps(dataset.shape, dataset.dtype.itemsize, limit)
        axes = {}
        for axis, dim in enumerate(dataset.dims):
            if len(dim) and dim[0].dtype.kind == "f" and dim[0].shape == (dataset.shape[axis],):
                units = dim[0].attrs.get("units", dim.label or b"")
                units = units.decode(errors="replace") if isinstance(units, bytes) else str(units)
                axes[axis] = (units, dim[0][:steps] if axis == 0 else dim[0][...])
        text = {k: v.decode(errors="replace") if isinstance(v, bytes) else v for k, v in dataset.attrs.items()
                if k in ("units", "long_name", "_FillValue", "missing_value")}
        fills = [np.ravel(text[k])[0] for k in ("_FillValue", "missing_value") if k in text]
        if not fills and dataset.fillvalue:  # 0, the default, is ordinary data more often than not
            fills = [dataset.fillvalue]
        values = dataset[:steps]
        return _finish(dataset.name, values.astype(values.dtype.newbyteorder("=")), text, fills, axes)
