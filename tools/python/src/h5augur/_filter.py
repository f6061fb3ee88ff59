"""The class that asks h5py, h5netcdf and xarray for the Augur filter."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, SupportsFloat

from . import _models, _words
from ._words import FILTER_ID, MODEL_PRESETS, PRESETS, Words

try:
    from h5py import filters as _h5py_filters

    _FilterRefBase = _h5py_filters.FilterRefBase
except ImportError:  # no h5py, e.g. where only netCDF4 is used: the same interface without it

    class _FilterRefBase(Mapping):  # type: ignore[no-redef]
        """Stand-in for h5py's class of the same name."""

        filter_id: int | None = None
        filter_options: tuple[int, ...] = ()

        @property
        def _kwargs(self) -> dict[str, Any]:
            return {"compression": self.filter_id, "compression_opts": self.filter_options}

        def __hash__(self) -> int:
            return hash((self.filter_id, self.filter_options))

        def __eq__(self, other: object) -> bool:
            return (
                isinstance(other, _FilterRefBase)
                and self.filter_id == other.filter_id
                and self.filter_options == other.filter_options
            )

        def __len__(self) -> int:
            return len(self._kwargs)

        def __iter__(self) -> Iterator[str]:
            return iter(self._kwargs)

        def __getitem__(self, item: str) -> Any:
            return self._kwargs[item]


class Augur(_FilterRefBase):
    """Error-bounded compression of a chunked dataset with the Augur filter.

    .. code-block:: python

        f.create_dataset("wind", data=wind, chunks=(16, 73, 144), **h5augur.Augur(absolute=0.01))
        f.create_dataset("wind", data=wind, chunks=(16, 73, 144), compression=h5augur.Augur(relative=1e-3))

    One bound must be given (or ``absolute`` and ``relative`` together, or ``lossless=True``). It holds
    at every point of what is read back, after the cast to the stored type. NaN, infinities and fill
    values are always exact.

    :param absolute: Largest error, in the unit of the data. For integers it is in counts and rounded
        down; below 1 nothing is lost.
    :param relative: Largest error as a fraction of the value range (largest minus smallest valid
        value) of each chunk, or of ``value_range``. With ``absolute`` as well, the smaller of both counts.
    :param value_range: The value range that ``relative`` refers to, so that all chunks share one.
    :param pointwise_relative: Largest error as a fraction of each value itself, below 1. Signs and
        zeros are kept.
    :param floor: With ``pointwise_relative``: values of smaller magnitude are stored exactly.
    :param psnr: Peak signal-to-noise ratio of each chunk to reach, in dB (1 to 1000).
    :param lossless: True: every bit is kept.
    :param preset: How to predict and code: "balanced" (default), "fast", "lossless", "learned" (the
        default where ``model`` is given), "tezip" (TEZip's method: each frame predicted by the model alone,
        or without one by the frame before), "tezip+" (as "learned", for models of that kind, which
        remember what they saw), "ae-sz" (AE-SZ's method: each block by its mean, a plane, Lorenzo's predictor or
        an autoencoder), "ae-sz+" (as "balanced", with what an autoencoder makes of each frame), or "cae" (as
        "ae-sz", with a fully connected autoencoder of runs of values).
    :param model: The trained model to predict with: the path of a model file, its name
        ("sha256:<hex>", or what `embed_model` returned), or True for the one that the dataset's
        attribute ``augur_model`` names. The filter must find it when chunks are written: in the file
        (`embed_model`), in a directory of AUGUR_MODEL_PATH, or in the user's store
        (``augur models add``). Otherwise they are stored as with "balanced" (with "tezip": predicted by the
        frame before; with "ae-sz" and "cae": without an autoencoder), and a warning says so.
    :param strict: True: creating the dataset fails when the model is not found.
    :param fill_value: A value that marks points without data; they are stored exactly and kept out of
        value ranges. Not needed for the dataset's own fill value, nor for NaN.
        It cannot be given together with a bound that has two parameters.
    :param time_axis: Which axis of the dataset is time (default 0, the first).
    :param window: With "tezip": a key frame, coded without any other, every so many time steps of a chunk
        (2 to 127). Without ``window`` and ``threshold`` only the first is one.
    :param threshold: With "tezip": a key frame where the mean squared error of the predictions since the last
        one exceeds this share of the chunk's squared value range (2**-31 to 1). It is rounded to a power of 2
        to a quarter: 0.02 becomes 2**-5.75 = 0.0186.
    :param warm_up: With "tezip": how many time steps at the start of a chunk are key frames, from which the
        model learns what goes on (at most 7; 0, the default, counts as 1).
    :param open_loop: With "tezip", True: until the next key frame forecasts are made from forecasts, as TEZip
        does it, not from what was decoded.
    :param selection: With "ae-sz" and "cae": how the prediction of each block is chosen: "length" (the default), by the
        bits that it takes, or "distance", by the sum of its absolute differences, as AE-SZ does it.
    :raises TypeError: no bound, two bounds, an option without its bound or its preset, or something that is not a number
    :raises ValueError: a bound or a window that cannot be kept (0, negative, NaN, infinite), an unknown preset
    """

    filter_name = "augur"
    filter_id = FILTER_ID

    def __init__(
        self,
        absolute: float | None = None,
        relative: float | None = None,
        *,
        value_range: float | None = None,
        pointwise_relative: float | None = None,
        floor: float | None = None,
        psnr: float | None = None,
        lossless: bool = False,
        preset: str | None = None,
        fill_value: float | None = None,
        time_axis: int = 0,
        model: str | os.PathLike[str] | bool | None = None,
        strict: bool = False,
        window: int | None = None,
        threshold: float | None = None,
        warm_up: int = 0,
        open_loop: bool = False,
        selection: str = "length",
    ) -> None:
        named, prefix = _model(model)
        default = "balanced" if named is None else "learned"
        preset = default if preset is None else _known_preset(preset)
        if named is not None and preset not in MODEL_PRESETS:
            raise ValueError(
                f"model= goes with the presets {', '.join(MODEL_PRESETS)}, not with {preset!r}: leave one of both out"
            )
        if strict not in (True, False):
            raise TypeError(f"strict must be True or False, not {strict!r}")
        if strict and preset not in MODEL_PRESETS:
            raise TypeError("strict= goes with model=")
        windows = _windows(preset, window, threshold, warm_up, open_loop)
        by = _selection(preset, selection)
        if lossless not in (True, False):
            raise TypeError(f"lossless must be True or False, not {lossless!r}")
        given = {
            "absolute": absolute,
            "relative": relative,
            "pointwise_relative": pointwise_relative,
            "psnr": psnr,
            "lossless": True if lossless else None,
        }
        asked = tuple(name for name, value in given.items() if value is not None)
        if not asked and preset == "lossless":
            asked = ("lossless",)
        config: dict[str, Any] = {}
        first = second = 0.0
        if asked == ("absolute",):
            mode = _words.ABSOLUTE
            first = config["absolute"] = _positive("absolute", absolute)
        elif asked == ("relative",):
            mode = _words.RELATIVE
            first = config["relative"] = _positive("relative", relative)
            if value_range is not None:
                second = config["value_range"] = _positive("value_range", value_range)
        elif asked == ("absolute", "relative"):
            mode = _words.ABSREL
            first = config["absolute"] = _positive("absolute", absolute)
            second = config["relative"] = _positive("relative", relative)
        elif asked == ("pointwise_relative",):
            mode = _words.POINTWISE
            first = config["pointwise_relative"] = _positive("pointwise_relative", pointwise_relative)
            if first >= 1:
                raise ValueError(f"pointwise_relative is {first!r}, it must be below 1 to keep the sign")
            if floor is not None:
                second = _number("floor", floor)
                if not 0 <= second < math.inf:
                    raise ValueError(f"floor is {second!r}, it must be finite and at least 0")
                config["floor"] = second
        elif asked == ("psnr",):
            mode = _words.PSNR
            first = config["psnr"] = _number("psnr", psnr)
            if not 1 <= first <= 1000:
                raise ValueError(f"psnr is {first!r} dB, it must lie between 1 and 1000")
        elif asked == ("lossless",):
            mode = _words.LOSSLESS
            config["lossless"] = True
        elif not asked:
            raise TypeError(
                "Augur() needs a bound: absolute=, relative=, pointwise_relative=, psnr= or lossless=True"
            )
        else:
            raise TypeError(
                f"Augur() got {' and '.join(asked)}: give one bound (absolute and relative may go together)"
            )
        if value_range is not None and mode != _words.RELATIVE:
            raise TypeError("value_range= goes with relative= alone")
        if floor is not None and mode != _words.POINTWISE:
            raise TypeError("floor= goes with pointwise_relative=")

        if preset != default:
            config["preset"] = preset
        fill = None
        if fill_value is not None:
            fill = config["fill_value"] = _number("fill_value", fill_value)
            if second:
                name = {_words.RELATIVE: "value_range", _words.ABSREL: "relative"}.get(mode, "floor")
                raise ValueError(
                    f"fill_value= and {name}= cannot be given together; set the dataset's own "
                    "fill value instead (fillvalue= in h5py, _FillValue in netCDF), it is recognised"
                )
        axis = _axis(time_axis)
        if axis:
            config["time_axis"] = axis
        if named is not None:
            config["model"] = named
        if strict:
            config["strict"] = True
        config.update(windows, **by)
        words = Words(preset, mode, first, second, fill, axis, prefix, bool(strict), **windows, **by)
        self.filter_options: tuple[int, ...] = _words.pack(words)
        self.__config = config

    def get_config(self) -> dict[str, float | bool | str]:
        """What was asked for, as keyword arguments of this class; options left at their default are not listed."""
        return self.__config.copy()

    def __repr__(self) -> str:
        arguments = ", ".join(f"{name}={value!r}" for name, value in self.get_config().items())
        return f"{self.__class__.__name__}({arguments})"

    def encoding(self) -> dict[str, Any]:
        """The entries of an xarray encoding for the engine h5netcdf.

        .. code-block:: python

            ds.to_netcdf("out.nc", engine="h5netcdf", encoding={
                "wind": {"chunksizes": (16, 73, 144), **h5augur.Augur(absolute=0.01).encoding()}})
        """
        return dict(self)

    @classmethod
    def from_filter_options(cls, filter_options: Sequence[int]) -> Augur:
        """The filter that these cd_values stand for, such as a dataset's creation property list holds.

        :param filter_options: The words that were given when the dataset was created, or those that
            the filter completed (16 words)
        :raises ValueError: Unsupported filter_options
        :raises NotImplementedError: Support of filter_options version is not implemented
        """
        words = _words.unpack(filter_options)
        bound: dict[str, Any]
        if words.mode == _words.ABSOLUTE:
            bound = {"absolute": words.first}
        elif words.mode == _words.RELATIVE:
            bound = {"relative": words.first, "value_range": words.second or None}
        elif words.mode == _words.ABSREL:
            bound = {"absolute": words.first, "relative": words.second}
        elif words.mode == _words.POINTWISE:
            bound = {"pointwise_relative": words.first, "floor": words.second or None}
        elif words.mode == _words.PSNR:
            bound = {"psnr": words.first}
        else:
            bound = {"lossless": True}
        return cls(
            **bound,
            preset=words.preset,
            fill_value=words.fill,
            time_axis=words.time_axis,
            model=f"sha256:{words.model.hex()}" if words.model else None,
            strict=words.strict,
            window=words.window or None,
            threshold=words.threshold or None,
            warm_up=words.warm_up,
            open_loop=words.open_loop,
            selection=words.selection,
        )

    _from_filter_options = from_filter_options  # the name under which hdf5plugin's classes have it


def from_filter_options(filter_id: int | str, filter_options: Sequence[int]) -> Augur:
    """The filter configuration of a dataset, as `hdf5plugin.from_filter_options` gives it for its filters.

    .. code-block:: python

        plist = dataset.id.get_create_plist()
        filter_id, flags, options, name = plist.get_filter(0)
        h5augur.from_filter_options(filter_id, options)

    :raises ValueError: A filter other than Augur, or unsupported filter_options
    :raises NotImplementedError: Support of filter_options version is not implemented
    """
    if filter_id not in (FILTER_ID, Augur.filter_name):
        raise ValueError(f"filter {filter_id!r} is not Augur, whose id is {FILTER_ID}")
    return Augur.from_filter_options(filter_options)


def _model(model: object) -> tuple[str | None, bytes]:
    """The argument as `get_config` gives it (None: no model) and the digest's first 16 bytes (none: from the attribute)."""
    if model is None or model is False:
        return None, b""
    if model is True or model == _models.ATTRIBUTE:
        return _models.ATTRIBUTE, b""
    if not isinstance(model, (str, os.PathLike)):
        raise TypeError(f"model must be a path, \"sha256:<hex>\" or True, not {model!r}")
    digest = _models.named(model)
    return f"sha256:{digest}", bytes.fromhex(digest)[:16]


def _known_preset(preset: object) -> str:
    if not isinstance(preset, str):
        raise TypeError(f"preset must be a name, one of {', '.join(PRESETS)}, not {preset!r}")
    if preset not in PRESETS:
        raise ValueError(f"preset {preset!r} is unknown, expected one of {', '.join(PRESETS)}")
    return preset


def _number(name: str, value: SupportsFloat | None) -> float:
    """`value` as float64; text, booleans and complex numbers are not numbers here."""
    if value is None or isinstance(value, (bool, str, bytes, bytearray, complex)):
        raise TypeError(f"{name} must be a number, not {value!r}")
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f"{name} is too large for float64") from None
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a number, not {value!r}") from None


def _positive(name: str, value: SupportsFloat | None) -> float:
    number = _number(name, value)
    if not 0 < number < math.inf:
        hint = "; use lossless=True to keep every bit" if number == 0 else ""
        raise ValueError(f"{name} is {number!r}, it must be finite and greater than 0{hint}")
    return number


def _integer(name: str, value: object) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{name} must be an integer, not {value!r}")
    try:
        return value.__index__()
    except TypeError:  # an array
        raise TypeError(f"{name} must be an integer, not {value!r}") from None


def _windows(preset: str, window: object, threshold: Any, warm_up: object, open_loop: object) -> dict[str, Any]:
    """The arguments for key frames, checked; those that are left at their default are not listed."""
    given = {"window": window, "threshold": threshold}
    out = {name: value for name, value in given.items() if value is not None}
    if len(out) == 2:
        raise TypeError("window= and threshold= both say where key frames are: give one of them")
    if window is not None:
        out["window"] = every = _integer("window", window)
        if not 2 <= every <= _words.MAX_WINDOW:
            raise ValueError(f"window is {every}, it must lie between 2 and {_words.MAX_WINDOW} time steps")
    if threshold is not None:
        limit = _number("threshold", threshold)
        if not _words.LEAST_THRESHOLD <= limit <= 1:
            raise ValueError(f"threshold is {limit!r}, it must lie between 2**-31 and 1 (a share of the squared value range)")
        out["threshold"] = _words.nearest_threshold(limit)
    steps = _integer("warm_up", warm_up)
    if not 0 <= steps <= _words.MAX_WARM_UP:
        raise ValueError(f"warm_up is {steps}, it must lie between 0 and {_words.MAX_WARM_UP} time steps")
    if open_loop not in (True, False):
        raise TypeError(f"open_loop must be True or False, not {open_loop!r}")
    out.update({"warm_up": steps} if steps else {}, **({"open_loop": True} if open_loop else {}))
    if out and preset != "tezip":
        raise TypeError(f"{next(iter(out))}= goes with preset=\"tezip\", not with {preset!r}")
    return out


def _selection(preset: str, selection: object) -> dict[str, str]:
    """The argument for the choice between predictions, checked; not listed at its default."""
    if not isinstance(selection, str):
        raise TypeError(f"selection must be \"length\" or \"distance\", not {selection!r}")
    if selection not in ("length", "distance"):
        raise ValueError(f"selection is {selection!r}, it must be \"length\" or \"distance\"")
    if selection == "length":
        return {}
    if preset not in _words.BLOCKWISE_PRESETS:
        raise TypeError(f"selection= goes with the presets {' and '.join(_words.BLOCKWISE_PRESETS)}, not with {preset!r}")
    return {"selection": selection}


def _axis(value: object) -> int:
    axis = _integer("time_axis", value)
    if not 0 <= axis <= _words.MAX_TIME_AXIS:
        raise ValueError(f"time_axis is {axis}, it must lie between 0 and {_words.MAX_TIME_AXIS}, counted from the first axis")
    return axis
