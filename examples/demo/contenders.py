"""One compressor writing or reading one field, in a process of its own: `contenders.py JOB.json`.

The job says which (`augur`, `learned` for Augur with the job's model and a preset that has one, or one of hdf5plugin's filters `sz3`, `sz2`, `zfp`, `sperr`, `zstd`, `blosc2`, through h5py,
or `sz34`, SZ3 3.4 in memory through pysz), what (`write` or `read`), and where the field, the compressed file and the answer lie. Writing and reading
are timed over whole runs, files opened and closed in between, chunk cache off; the best of `repeat` counts.
"""

from __future__ import annotations

import json
import math
import os
import pickle
import sys
import time

import numpy as np


WITH_MODEL = "learned", "tezip", "tezip+", "ae-sz", "ae-sz+", "cae"


def h5_filter(name: str, bound: float, preset: str, model: str | None = None) -> dict:
    """The keywords of create_dataset for this filter."""
    if name == "augur":
        import h5augur

        return dict(h5augur.Augur(absolute=bound, preset=preset))
    if name == "learned":
        import h5augur

        return dict(h5augur.Augur(absolute=bound, model=model, preset=preset if preset in WITH_MODEL else "learned"))
    import hdf5plugin

    filters = {
        "sz3": lambda: hdf5plugin.SZ3(absolute=bound),
        "sz2": lambda: hdf5plugin.SZ(absolute=bound),
        "zfp": lambda: hdf5plugin.Zfp(accuracy=bound),
        "sperr": lambda: hdf5plugin.Sperr(absolute=bound),
        # Lossless: HDF5's shuffle before zstd, Blosc2's own inside.
        "zstd": lambda: {"shuffle": True, **hdf5plugin.Zstd(clevel=9)},
        "blosc2": lambda: hdf5plugin.Blosc2(cname="zstd", clevel=5, filters=hdf5plugin.Blosc2.SHUFFLE),
    }
    return dict(filters[name]())


def write_h5(job: dict, values: np.ndarray) -> tuple[int, int]:
    """Writes the field as one dataset and returns the bytes that its chunks take, and those of a model in the file."""
    import h5py

    with h5py.File(job["file"], "w", rdcc_nbytes=0) as f:
        model, weights = None, 0
        if job["name"] == "learned":
            import h5augur

            model = h5augur.embed_model(f, job.get("model"))
            weights = f[model].id.get_storage_size()
        dataset = f.create_dataset("field", shape=values.shape, dtype=values.dtype, chunks=tuple(job["chunks"]),
                                   fillvalue=job["fill"] if job["name"] in ("augur", "learned") else None,
                                   **h5_filter(job["name"], job["bound"], job["preset"], job.get("model")))
        dataset[...] = values
        f.flush()
        return dataset.id.get_storage_size(), weights


def read_h5(job: dict) -> np.ndarray:
    """Reads the whole dataset."""
    import h5py

    with h5py.File(job["file"], "r", rdcc_nbytes=0) as f:
        return f["field"][...]


def write_sz34(job: dict, values: np.ndarray) -> tuple[int, int]:
    """Compresses chunk by chunk in memory; the streams are kept for the reader. 8- and 16-bit integers go as float32."""
    import pysz

    bound = job["bound"]
    if values.dtype.kind in "iu":
        values, bound = values.astype("f4" if values.dtype.itemsize < 4 else "f8"), max(math.floor(bound), 0.49)
    streams = []
    for start in range(0, len(values), job["chunks"][0]):
        chunk = np.ascontiguousarray(values[start : start + job["chunks"][0]])
        config = pysz.szConfig(chunk.shape)
        config.errorBoundMode, config.absErrorBound = pysz.szErrorBoundMode.ABS, bound
        streams.append((pysz.sz.compress(chunk, config)[0], chunk.dtype.str, chunk.shape))
    job["streams"] = streams
    return sum(s[0].nbytes for s in streams), 0


def read_sz34(job: dict) -> np.ndarray:
    """Decompresses what `write_sz34` left."""
    import pysz

    return np.concatenate([pysz.sz.decompress(s, np.dtype(d), tuple(shape))[0] for s, d, shape in job["streams"]])


def main() -> None:
    """Runs the job that the argument names."""
    with open(sys.argv[1]) as f:
        job = json.load(f)
    in_memory = job["name"] == "sz34"
    if job["action"] == "write":
        values = np.load(job["values"])
        action = (lambda: write_sz34(job, values)) if in_memory else (lambda: write_h5(job, values))
    else:
        if in_memory:
            with open(job["file"], "rb") as f:
                job["streams"] = pickle.load(f)
        action = (lambda: read_sz34(job)) if in_memory else (lambda: read_h5(job))
    if in_memory:  # imports are not timed
        import pysz  # noqa: F401
    else:
        import h5py  # noqa: F401

        h5_filter(job["name"], 1.0, job["preset"], job.get("model"))
    best = math.inf
    for _ in range(job["repeat"]):
        if job["action"] == "write" and os.path.exists(job["file"]):
            os.unlink(job["file"])
        start = time.perf_counter()
        result = action()
        best = min(best, time.perf_counter() - start)
    answer = {"seconds": best}
    if job["action"] == "write":
        answer["bytes"], answer["weights"] = sum(result), result[1]
        if in_memory:
            with open(job["file"], "wb") as f:
                pickle.dump(job["streams"], f)
    else:
        np.save(job["values"], result)
    with open(job["answer"], "w") as f:
        json.dump(answer, f)


if __name__ == "__main__":
    main()
