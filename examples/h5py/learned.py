"""learned: an HDF5 dataset with a trained model and without one, side by side.

Copies a dataset twice into a new file, with the presets `balanced` and `learned`; the model goes along in the file, so
that it can be read with the plugin alone. Prints what each takes, the model's bytes counted, and the largest error.

    pip install ./tools/python h5py
    python examples/h5py/learned.py wind.h5:/wind wind.safetensors out.h5 --absolute 0.01
"""

from __future__ import annotations

import argparse

import h5augur
import h5py
import numpy as np


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", metavar="FILE:/DATASET", help="floats, with time as the first axis")
    parser.add_argument("model", help="file that augur train made")
    parser.add_argument("output", help="file to make")
    bound = parser.add_mutually_exclusive_group(required=True)
    bound.add_argument("--absolute", type=float, help="error bound in the unit of the data")
    bound.add_argument("--relative", type=float, help="error bound as a fraction of each chunk's value range")
    parser.add_argument("--steps", type=int, default=16, help="time steps in a chunk (16)")
    options = parser.parse_args()
    bounds = {"absolute": options.absolute, "relative": options.relative}

    path, _, name = options.source.rpartition(":")
    with h5py.File(path) as f:
        data = f[name][...]
    chunks = (min(options.steps, len(data)), *data.shape[1:])

    with h5py.File(options.output, "w") as f:
        # First the model, then what is written with it.
        model = h5augur.embed_model(f, options.model)
        f.create_dataset("balanced", data=data, chunks=chunks, **h5augur.Augur(**bounds))
        f.create_dataset("learned", data=data, chunks=chunks, **h5augur.Augur(**bounds, model=model, strict=True))

    with h5py.File(options.output) as f:
        weights = f[model].id.get_storage_size()
        for name, extra in (("balanced", 0), ("learned", weights)):
            stored = f[name].id.get_storage_size() + extra
            error = np.nanmax(np.abs(f[name][...] - data.astype("f8")))
            print(f"{name:8}  {stored:12,} bytes  ratio {data.nbytes / stored:7.2f}  largest error {error:.4g}")
        print(f"the model's {weights:,} bytes are counted; {model}")


if __name__ == "__main__":
    main()
