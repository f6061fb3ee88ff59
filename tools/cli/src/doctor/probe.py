"""Writes and reads a small array through the HDF5 of one Python module; prints what happened as JSON.

Arguments: module (h5py or netCDF4), "import" to import h5augur first, then the filter's cd_values.
"""
import ctypes
import json
import os
import re
import sys
import tempfile

FILTER = 49493
module, first, *words = sys.argv[1:]
words = tuple(int(w) for w in words)
out = {"module": module}


def loaded_hdf5(package):
    """The libhdf5 that the module brought into this process, by its path."""
    root = os.path.dirname(os.path.dirname(os.path.abspath(package.__file__)))
    paths = set()
    with open("/proc/self/maps") as maps:
        for line in maps:
            path = line.split(maxsplit=5)[-1].strip()
            if re.search(r"/libhdf5(_serial|_openmpi|_mpich)?[-.][^/]*$", path):
                paths.add(path)
    own = sorted(p for p in paths if p.startswith(root))
    return (own or sorted(paths) or [None])[0]


def search_path(library):
    count, paths = ctypes.c_uint(), []
    library.H5PLsize(ctypes.byref(count))
    library.H5PLget.restype = ctypes.c_ssize_t
    for i in range(count.value):
        text = ctypes.create_string_buffer(4096)
        if library.H5PLget(ctypes.c_uint(i), text, ctypes.c_size_t(4096)) >= 0:
            paths.append(os.fsdecode(text.value))
    return paths


def write_with(library, path, data):
    """The same as h5py's create_dataset, through the library's C functions."""
    hid, size = ctypes.c_int64, ctypes.c_uint64
    for name in ("H5Fcreate", "H5Screate_simple", "H5Pcreate", "H5Dcreate2"):
        getattr(library, name).restype = hid
    known = {n: hid.in_dll(library, n) for n in ("H5P_CLS_DATASET_CREATE_ID_g", "H5T_IEEE_F32LE_g")}
    shape = (size * data.ndim)(*data.shape)
    file = library.H5Fcreate(path.encode(), 2, hid(0), hid(0))
    space = library.H5Screate_simple(data.ndim, shape, None)
    dcpl = library.H5Pcreate(known["H5P_CLS_DATASET_CREATE_ID_g"])
    library.H5Pset_chunk(hid(dcpl), data.ndim, shape)
    cd = (ctypes.c_uint * len(words))(*words)
    library.H5Pset_filter(hid(dcpl), FILTER, ctypes.c_uint(0), ctypes.c_size_t(len(words)), cd)
    dtype = known["H5T_IEEE_F32LE_g"]
    dataset = library.H5Dcreate2(hid(file), b"x", dtype, hid(space), hid(0), hid(dcpl), hid(0))
    if dataset < 0:
        library.H5Fclose(hid(file))
        raise OSError("H5Dcreate failed: the filter is not found or refuses")
    status = library.H5Dwrite(hid(dataset), dtype, hid(0), hid(0), hid(0), data.ctypes.data_as(ctypes.c_void_p))
    status |= library.H5Dclose(hid(dataset)) | library.H5Fclose(hid(file))
    if status < 0:
        raise OSError("writing through the filter failed")


def main():
    import numpy

    if first == "import":
        import h5augur

        out["h5augur"] = h5augur.__version__
    if module == "h5py":
        import h5py as package

        out["hdf5"] = package.version.hdf5_version
    else:
        import netCDF4 as package

        out["hdf5"] = package.__hdf5libversion__
    out["version"] = package.__version__
    out["library"] = path = loaded_hdf5(package)
    library = ctypes.CDLL(path) if path else None
    if library:
        out["search_path"] = search_path(library)
        library.H5Eset_auto2(ctypes.c_int64(0), None, None)
    t, y, x = numpy.ogrid[:16, :24, :24]
    data = numpy.sin(0.2 * t + 0.3 * y + 0.1 * x).astype("<f4")
    with tempfile.TemporaryDirectory() as folder:
        name = os.path.join(folder, "probe.h5")
        if module == "h5py":
            out["step"] = "writing"
            with package.File(name, "w") as f:
                f.create_dataset("x", data=data, chunks=data.shape, compression=FILTER, compression_opts=words)
            out["step"] = "reading"
            with package.File(name) as f:
                back = f["x"][()]
        else:
            out["step"] = "writing"
            write_with(library, name, data)
            out["step"] = "reading"
            with package.Dataset(name) as f:
                back = numpy.asarray(f["x"][:])
    out["largest_error"] = float(abs(back.astype("f8") - data).max())


try:
    main()
except ImportError as e:
    out["missing"] = e.name or str(e)
except Exception as e:  # whatever it is, the report is what counts
    out["problem"] = f"{type(e).__name__}: {e}"
print("AUGUR-PROBE " + json.dumps(out))
