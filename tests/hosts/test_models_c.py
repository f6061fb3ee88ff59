"""Models in C programs on the distribution's HDF5, which print HDF5's errors and may end without closing anything."""

from __future__ import annotations

import os

import pytest
from debian import need, run
from model_programs import model_env, program, warnings  # noqa: F401

import models

PROGRAM = r"""
#include <hdf5.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Writes the field of a raw file to the dataset u of an HDF5 file: program FILE RAW ATTRIBUTE ENDING WORDS... */
int main(int count, char **arguments)
{
    hsize_t dims[3] = {32, 60, 61}, chunk[3] = {16, 60, 61};
    static float data[32 * 60 * 61];
    unsigned words[16];
    FILE *raw = fopen(arguments[2], "rb");
    int i;
    if (!raw || fread(data, sizeof data, 1, raw) != 1)
        return 9;
    fclose(raw);
    for (i = 5; i < count; i++)
        words[i - 5] = (unsigned)strtoul(arguments[i], 0, 10);
    hid_t fapl = H5Pcreate(H5P_FILE_ACCESS);
    if (strstr(arguments[4], "strong"))
        H5Pset_fclose_degree(fapl, H5F_CLOSE_STRONG);
    hid_t file = H5Fopen(arguments[1], H5F_ACC_RDWR, fapl);
    hid_t space = H5Screate_simple(3, dims, NULL);
    hid_t dcpl = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_chunk(dcpl, 3, chunk);
    if (H5Pset_filter(dcpl, 49493, H5Z_FLAG_MANDATORY, (size_t)(count - 5), words) < 0)
        return 8;
    hid_t dataset = H5Dcreate2(file, "u", H5T_IEEE_F32LE, space, H5P_DEFAULT, dcpl, H5P_DEFAULT);
    if (dataset < 0)
        return 7;
    if (*arguments[3]) {
        hid_t text = H5Tcopy(H5T_C_S1);
        H5Tset_size(text, strlen(arguments[3]));
        hid_t attribute = H5Acreate2(dataset, "augur_model", text, H5Screate(H5S_SCALAR), H5P_DEFAULT, H5P_DEFAULT);
        H5Awrite(attribute, text, arguments[3]);
        H5Aclose(attribute);
    }
    H5Dwrite(dataset, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, data);
    if (strstr(arguments[4], "flush"))
        return H5Fflush(file, H5F_SCOPE_LOCAL) < 0;
    if (strstr(arguments[4], "dataset"))
        return H5Dclose(dataset) < 0 || H5Fclose(file) < 0;
    if (strstr(arguments[4], "file")) /* the dataset keeps it open, unless its degree is strong */
        return H5Fclose(file) < 0;
    return 0; /* the library closes everything at exit */
}
"""


@pytest.fixture(scope="module")
def writer(tmp_path_factory):
    """Path of the compiled program."""
    need("cc", "pkg-config")
    folder = tmp_path_factory.mktemp("writer")
    (folder / "writer.c").write_text(PROGRAM)
    hdf5 = run("pkg-config", "--cflags", "--libs", "hdf5-serial", env=dict(os.environ)).stdout.split()
    run("cc", "-Wall", "-Wextra", "-Werror", folder / "writer.c", "-o", folder / "writer", *hdf5, env=dict(os.environ))
    return folder / "writer"


@pytest.mark.parametrize("ending", ["dataset", "file", "file strong", "flush", "exit"])
@pytest.mark.parametrize("named_by", ["attribute", "words", "nothing"])
def test_a_c_program(program, model_env, writer, tmp_path, ending, named_by):  # noqa: F811
    model = models.shifting_model("first")
    program("A.tofile(sys.argv[1]); f = h5py.File(sys.argv[2], 'w'); models.embed(f, M)", tmp_path / "raw", tmp_path / "a.h5")
    words = models.words(1e-2, model if named_by == "words" else None)
    attribute = f"{models.GROUP}/{models.digest(model)}" if named_by == "attribute" else ""
    done = run(writer, tmp_path / "a.h5", tmp_path / "raw", attribute, ending, *words, env=model_env)
    assert "HDF5-DIAG" not in done.stderr, done.stderr
    assert len(warnings(done)) == (1 if named_by == "nothing" else 0), done.stderr
    done = program(f"with h5py.File(sys.argv[1]) as f: check(f['u'], {'None' if named_by == 'nothing' else 'M'})", tmp_path / "a.h5")
    assert warnings(done) == []


def test_strict_names_the_places_on_the_error_stack(program, model_env, writer, tmp_path):  # noqa: F811
    program("A.tofile(sys.argv[1]); f = h5py.File(sys.argv[2], 'w')", tmp_path / "raw", tmp_path / "a.h5")
    words = models.words(1e-2, models.shifting_model("first"), strict=True)
    done = run(writer, tmp_path / "a.h5", tmp_path / "raw", "", "exit", *words, env=model_env, check=False)
    assert done.returncode == 7
    stack = done.stderr[done.stderr.index("HDF5-DIAG"):]
    assert "was found nowhere; looked at: /_augur/models in" in stack, stack
