"""augur_h5.h, compiled and run against the distribution's HDF5."""

from __future__ import annotations

import json
import os
import re
import shutil
import struct

import models
import numpy as np
import pytest
from augur_testing import words
from compiled import INCLUDE, WINDOWS, documented_windows, embedded, models_of, numbers, padded  # noqa: F401
from debian import FILTER_ID, files, largest_error, need, run, waves  # noqa: F401

PROLOGUE = r"""
#include <hdf5.h>
#include "augur_h5.h"

static int show(const augur_options_t *options)
{
    unsigned words[AUGUR_H5_CD_VALUES];
    char text[512];
    int i;
    if (augur_cd_values(options, words, text, sizeof text) < 0) {
        printf("refused: %s\n", text);
        return 1;
    }
    for (i = 0; i < AUGUR_H5_CD_VALUES; i++)
        printf("%u ", words[i]);
    printf("\n");
    return 0;
}

"""


def compile_c(tmp_path, body, *flags, compiler="cc", suffix=".c", name="program"):
    """Compiles PROLOGUE + body with all warnings as errors; returns the program."""
    need(compiler, "pkg-config")
    source = (tmp_path / name).with_suffix(suffix)
    source.write_text(PROLOGUE + body)
    env = dict(os.environ)
    hdf5 = run("pkg-config", "--cflags", "--libs", "hdf5-serial", env=env).stdout.split()
    run(compiler, "-Wall", "-Wextra", "-Werror", "-pedantic", *flags, f"-I{INCLUDE}", source, "-o", tmp_path / name, *hdf5,
        env=env)
    return tmp_path / name


ALL_MODES = """
int main(void)
{
    augur_options_t o = augur_lossless();
    show(&o);
    o = augur_absolute(1e-3);
    show(&o);
    o = augur_relative(1e-4);
    show(&o);
    o = augur_relative_to(1e-4, 250.0);
    show(&o);
    o = augur_absrel(0.5, 1e-2);
    show(&o);
    o = augur_pointwise_relative(1e-2, 1e-9);
    show(&o);
    o = augur_psnr(60.0);
    show(&o);
    o = augur_absolute(0.25);
    o.preset = AUGUR_PRESET_FAST;
    o.time_axis = 2;
    show(&o);
    o = augur_absolute(0.5);
    augur_set_model(&o, "/_augur/models/00112233445566778899AABBCCDDEEFFfedcba9876543210fedcba9876543210");
    show(&o);
    augur_set_model(&o, NULL);
    o.strict = 1;
    show(&o);
    o = augur_relative(0.1);
    augur_set_windows(&o, 8, 0.0, 0, 0);
    show(&o);
    augur_set_windows(&o, 0, 0.02, 7, 1);
    augur_set_model(&o, NULL);
    show(&o);
    o = augur_absolute(0.5);
    o.preset = AUGUR_PRESET_TEZIP_PLUS;
    show(&o);
    augur_set_model(&o, "sha256:00112233445566778899aabbccddeeffFEDCBA9876543210fedcba9876543210");
    show(&o);
    o.preset = AUGUR_PRESET_AE_SZ_PLUS;
    show(&o);
    o = augur_absolute(0.5);
    o.preset = AUGUR_PRESET_AE_SZ;
    o.by_distance = 1;
    show(&o);
    o.preset = AUGUR_PRESET_CAE;
    augur_set_model(&o, "00112233445566778899aabbccddeeffFEDCBA9876543210fedcba9876543210");
    show(&o);
    return 0;
}
"""

DIGEST = "00112233445566778899aabbccddeeff"
"""First half of the digest in ALL_MODES."""


def learned(bound, digest="", strict=False):
    """The words of the preset learned, written down from the documented layout."""
    head, *tail = words("absolute", bound)
    return padded((head | 3 << 8 | strict << 26, *tail, *struct.unpack(f"<{len(digest) // 8}I", bytes.fromhex(digest))))


@pytest.mark.parametrize(
    "compiler, suffix, flags",
    [
        ("cc", ".c", ["-std=c99"]),
        ("cc", ".c", ["-std=c11", "-DH5_USE_16_API"]),
        ("cc", ".c", ["-std=gnu17", "-DH5_USE_18_API", "-O2"]),
        ("c++", ".cpp", ["-std=c++11"]),
        ("c++", ".cpp", ["-std=c++20", "-O2"]),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, list) else v,
)
def test_header_gives_the_documented_words(tmp_path, compiler, suffix, flags):
    program = compile_c(tmp_path, ALL_MODES, *flags, compiler=compiler, suffix=suffix)
    lines = [tuple(map(int, line.split())) for line in run(program, env=dict(os.environ)).stdout.splitlines()]
    assert lines == [
        padded(words("lossless")),
        padded(words("absolute", 1e-3)),
        padded(words("relative", 1e-4)),
        padded(words("relative", 1e-4, 250.0)),
        padded(words("absrel", 0.5, 1e-2)),
        padded(words("pointwise_relative", 1e-2, 1e-9)),
        padded(words("psnr", 60.0)),
        padded(words("absolute", 0.25, preset="fast", time_axis=2)),
        learned(0.5, DIGEST),
        learned(0.5, strict=True),
        padded(words("relative", 0.1, preset="tezip", keys=8)),
        padded(words("relative", 0.1, preset="tezip", keys=128 + 23, warm_up=7, open_loop=True)),
        padded(words("absolute", 0.5, preset="tezip+")),
        padded(words("absolute", 0.5, preset="tezip+", model=bytes.fromhex(DIGEST))),
        padded(words("absolute", 0.5, preset="ae-sz+", model=bytes.fromhex(DIGEST))),
        padded(words("absolute", 0.5, preset="ae-sz", by_distance=True)),
        padded(words("absolute", 0.5, preset="cae", by_distance=True, model=bytes.fromhex(DIGEST))),
    ]


WINDOWS_IN_C = r"""
int main(int argc, char **argv)
{
    int i;
    for (i = 1; i + 3 < argc; i += 4) {
        augur_options_t o = augur_absolute(0.5);
        augur_set_windows(&o, (unsigned)atoi(argv[i]), atof(argv[i + 1]), (unsigned)atoi(argv[i + 2]), atoi(argv[i + 3]));
        show(&o);
    }
    return 0;
}
"""

def test_windows_are_the_same_words_in_c(tmp_path):
    arguments = [repr(value) for window in WINDOWS for value in window[:4]]
    done = run(compile_c(tmp_path, WINDOWS_IN_C, "-std=c99"), *arguments, env=dict(os.environ))
    assert numbers(done.stdout) == list(documented_windows())


def test_windows_are_the_same_words_in_python_and_on_the_command_line(run_python, tmp_path):
    done = run_python(
        "import json, sys, h5augur\nfor window, threshold, warm_up, open_loop, _ in json.loads(sys.argv[1]):\n"
        "    print(*h5augur.Augur(absolute=0.5, preset='tezip', window=window or None, threshold=threshold or None,\n"
        "                         warm_up=warm_up, open_loop=bool(open_loop)).filter_options)",
        json.dumps(WINDOWS),
    )
    documented = list(documented_windows())
    assert [padded(found) for found in numbers(done.stdout)] == documented
    if shutil.which("augur") is None:
        pytest.skip("the command augur is not on the path")
    for (window, threshold, warm_up, open_loop, _), expected in zip(WINDOWS, documented):
        options = [*(["--window", window] if window else []), *(["--threshold", repr(threshold)] if threshold else []),
                   *(["--warm-up", warm_up] if warm_up else []), *(["--open-loop"] if open_loop else [])]
        done = run("augur", "cd-values", "--absolute", "0.5", "--preset", "tezip", "--json", *options, env=dict(os.environ))
        assert padded(json.loads(done.stdout)["cd_values"]) == expected


BAD = {
    "augur_absolute(0.0)": "the absolute bound is 0, it must be finite and greater than 0; ask for augur_lossless",
    "augur_absolute(-2.0)": "the absolute bound is -2",
    "augur_absolute(HUGE_VAL)": "the absolute bound is inf",
    "augur_relative(nan(\"\"))": "the relative bound is -?nan",
    "augur_relative_to(1e-3, -1.0)": "the value range of the relative bound is -1",
    "augur_absrel(1.0, 0.0)": "the relative bound is 0",
    "augur_pointwise_relative(1.0, 0.0)": "it must be below 1",
    "augur_pointwise_relative(0.1, -1.0)": "the floor of the pointwise relative bound is -1",
    "augur_psnr(0.5)": "the target PSNR is 0.5 dB, it must lie between 1 and 1000",
    "augur_options((augur_bound_t)9, 1.0, 0.0)": "bound mode 9 is unknown",
    "augur_options(AUGUR_BOUND_ABSOLUTE, 1.0, 2.0)": "the second parameter is 2",
    "augur_absolute(1.0), augur_set_model(&o, \"sha256:12\")": 'the model "sha256:12" is no SHA-256, expected 64',
    "augur_absolute(1.0), augur_set_model(&o, \"" + "0g" * 32 + "\")": "is no SHA-256, expected 64",
    "augur_absolute(1.0), augur_set_model(&o, NULL), o.preset = AUGUR_PRESET_FAST, o.strict = 1": "strict was given, but",
    "augur_options(AUGUR_BOUND_LOSSLESS, 0.0, 0.0), o.preset = (augur_preset_t)9": r"preset 9 is unknown, .* or _CAE \(8\)",
    "augur_absolute(1.0), o.by_distance = 1": r"by distance was given, but preset 0 has no blocks; expected AUGUR_PRESET_AE_SZ \(6\) or _CAE",
    "augur_absolute(1.0), o.preset = AUGUR_PRESET_AE_SZ_PLUS, o.by_distance = 1": "by distance was given, but preset 7",
    "augur_absolute(1.0), o.preset = AUGUR_PRESET_AE_SZ, o.window = 8": "a window was given, but preset 6 has no key frames",
    "augur_absolute(1.0), augur_set_windows(&o, 1, 0.0, 0, 0)": "a key frame every 1 time steps was asked for, expected 2 to 127",
    "augur_absolute(1.0), augur_set_windows(&o, 128, 0.0, 0, 0)": "a key frame every 128 time steps",
    "augur_absolute(1.0), augur_set_windows(&o, 0, -0.5, 0, 0)": "the threshold of key frames is -0.5, expected 2\\^-31 to 1",
    "augur_absolute(1.0), augur_set_windows(&o, 0, 1.5, 0, 0)": "the threshold of key frames is 1.5",
    "augur_absolute(1.0), augur_set_windows(&o, 0, 1e-10, 0, 0)": "the threshold of key frames is 1e-10",
    "augur_absolute(1.0), augur_set_windows(&o, 0, nan(\"\"), 0, 0)": "the threshold of key frames is -?nan",
    "augur_absolute(1.0), augur_set_windows(&o, 8, 0.5, 0, 0)": r"a window \(8\) and a threshold \(0.5\) both",
    "augur_absolute(1.0), augur_set_windows(&o, 0, 0.0, 8, 0)": "a warm-up of 8 time steps was asked for, expected at most 7",
    "augur_absolute(1.0), o.window = 8": "a window was given, but preset 0 has no key frames; expected AUGUR_PRESET_TEZIP",
    "augur_absolute(1.0), augur_set_model(&o, NULL), o.threshold = 0.5": "a threshold was given, but preset 3",
    "augur_absolute(1.0), o.preset = AUGUR_PRESET_TEZIP_PLUS, o.warm_up = 1": "a warm-up was given, but preset 5",
    "augur_absolute(1.0), o.preset = AUGUR_PRESET_FAST, o.open_loop = 1": "an open loop was given, but preset 1",
}


def test_bad_options_are_refused_with_the_reason_on_the_error_stack(plugin_env, tmp_path):
    cases = "\n".join(
        f'    o = {text};\n    printf("%d\\n", (int)H5Pset_augur(dcpl, &o));\n    fflush(stdout);' for text in BAD
    )
    program = compile_c(
        tmp_path,
        "#include <math.h>\nint main(void)\n{\n    hid_t dcpl = H5Pcreate(H5P_DATASET_CREATE);\n    augur_options_t o;\n"
        f"{cases}\n    (void)show;\n    return H5Pget_nfilters(dcpl);\n}}\n",
        "-std=c99",
    )
    done = run(program, env=plugin_env)  # ends with the number of filters: none was added
    assert done.stdout.split() == ["-1"] * len(BAD)
    reasons = re.findall(r"#000: augur_h5\.h line \d+ in H5Pset_augur\(\): augur: (.*)", done.stderr)
    assert len(reasons) == len(BAD), done.stderr
    for expected, reason in zip(BAD.values(), reasons):
        assert re.search(expected, reason), (expected, reason)


MANY = r"""
int main(void)
{
    hid_t dcpl = H5Pcreate(H5P_DATASET_CREATE), fapl = H5Pcreate(H5P_FILE_ACCESS);
    augur_options_t o = augur_absolute(1e-3);
    unsigned flags, words[16], config;
    size_t n = 16;
    char name[16];

    (void)show;
    H5Pset_shuffle(dcpl);
    if (H5Pset_augur(dcpl, &o) < 0 || H5Pset_fletcher32(dcpl) < 0)
        return 10;
    o = augur_relative(1e-2);
    o.mandatory = 1;
    if (H5Pset_augur(dcpl, &o) < 0) /* replaces the first */
        return 11;
    if (H5Pget_nfilters(dcpl) != 3)
        return 12;
    if (H5Pget_filter2(dcpl, 1, &flags, &n, words, sizeof name, name, &config) != AUGUR_H5_FILTER_ID)
        return 13;
    if (flags != H5Z_FLAG_MANDATORY || (words[1] & 0xff) != AUGUR_BOUND_RELATIVE)
        return 14;
    o.has_fill = 1;
    o.second = 1.0;
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    if (H5Pset_augur(dcpl, &o) >= 0 || H5Eget_num(H5E_DEFAULT) != 1)
        return 15;
    o = augur_absolute(1.0);
    if (H5Pset_augur(fapl, &o) >= 0 || H5Pset_augur(-1, &o) >= 0 || H5Pset_augur(dcpl, NULL) >= 0)
        return 16;
    if (H5augur_available() <= 0)
        return 17;
    return 0;
}
"""


def test_a_second_call_replaces_the_first_and_wrong_lists_are_refused(plugin_env, tmp_path):
    done = run(compile_c(tmp_path, MANY, "-std=c99"), env=plugin_env, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""  # the program has switched printing off


def test_a_missing_plugin_is_named_with_the_cure(clean_env, tmp_path):
    program = compile_c(
        tmp_path,
        "int main(void)\n{\n    hid_t dcpl = H5Pcreate(H5P_DATASET_CREATE);\n    augur_options_t o = augur_absolute(1.0);\n"
        "    (void)show;\n    return H5augur_available() == 0 && H5Pset_augur(dcpl, &o) < 0 ? 0 : 1;\n}\n",
        "-std=c99",
    )
    for env, state in [(clean_env, "now it is not set"), ({**clean_env, "HDF5_PLUGIN_PATH": "/none"}, "now it is /none")]:
        error = run(program, env=env).stderr
        assert f"HDF5 does not find filter {FILTER_ID}" in error and "HDF5_PLUGIN_PATH" in error and state in error


WRITE_AND_READ = r"""
int main(int argc, char **argv)
{
    enum { STEPS = 40, NY = 24, NX = 32 };
    static double data[STEPS][NY][NX], back[STEPS][NY][NX];
    const hsize_t dims[3] = { STEPS, NY, NX }, chunk[3] = { 16, NY, NX };
    const double bound = 1e-4, missing = -1e34;
    augur_options_t options = augur_absolute(bound);
    hid_t file, space, dcpl, set;
    int i, j, k;
    double worst = 0;

    (void)show;
    for (i = 0; i < STEPS; i++)
        for (j = 0; j < NY; j++)
            for (k = 0; k < NX; k++)
                data[i][j][k] = j < 4 ? missing : (double)(i * j) / 7.0 + (double)(k * k) / 900.0;
    augur_set_fill(&options, missing);
    file = H5Fcreate(argv[argc - 1], H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    space = H5Screate_simple(3, dims, NULL);
    dcpl = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_chunk(dcpl, 3, chunk);
    if (H5Pset_augur(dcpl, &options) < 0)
        return 10;
    set = H5Dcreate2(file, "u", H5T_NATIVE_DOUBLE, space, H5P_DEFAULT, dcpl, H5P_DEFAULT);
    if (set < 0 || H5Dwrite(set, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) < 0)
        return 11;
    if (H5Dclose(set) < 0 || H5Fclose(file) < 0)
        return 12;
    file = H5Fopen(argv[argc - 1], H5F_ACC_RDONLY, H5P_DEFAULT);
    set = H5Dopen2(file, "u", H5P_DEFAULT);
    if (set < 0 || H5Dread(set, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, back) < 0)
        return 13;
    for (i = 0; i < STEPS; i++)
        for (j = 0; j < NY; j++)
            for (k = 0; k < NX; k++) {
                const double d = back[i][j][k] - data[i][j][k];
                if (j < 4 && d != 0)
                    return 14;
                worst = d > worst ? d : -d > worst ? -d : worst;
            }
    return worst <= bound ? 0 : 15;
}
"""


@pytest.mark.parametrize("compiler, suffix, std", [("cc", ".c", "-std=c99"), ("c++", ".cpp", "-std=c++11")])
def test_c_and_cpp_programs_write_and_read(files, plugin_env, tmp_path, compiler, suffix, std):  # noqa: F811
    program = compile_c(tmp_path, WRITE_AND_READ, std, compiler=compiler, suffix=suffix)
    done = run(program, tmp_path / "c.h5", env=plugin_env, check=False)
    assert done.returncode == 0, done.stderr
    t, y, x = np.ogrid[0:40, 0:24, 0:32]
    data = t * y / 7.0 + x * x / 900.0
    data[:, :4] = -1e34
    stored = files.read(tmp_path / "c.h5")  # with HDF5 2.x
    np.testing.assert_array_equal(stored[:, :4], data[:, :4])
    assert largest_error(stored[:, 4:], data[:, 4:]) <= 1e-4


WITH_A_MODEL = r"""
/* program FILE DIGEST DATA RAW: writes RAW (32 x 60 x 61 floats) with the model that DIGEST or else the attribute names */
int main(int argc, char **argv)
{
    static float data[32][60][61];
    const hsize_t dims[3] = { 32, 60, 61 }, chunk[3] = { 16, 60, 61 };
    augur_options_t options = augur_absolute(0.05);
    hid_t file, space, dcpl, set;
    FILE *raw = fopen(argv[3], "rb");

    (void)show;
    if (argc != 5 || raw == NULL || fread(data, sizeof data, 1, raw) != 1)
        return 10;
    fclose(raw);
    augur_set_model(&options, argv[2][0] ? argv[2] : NULL);
    file = H5Fopen(argv[1], H5F_ACC_RDWR, H5P_DEFAULT);
    space = H5Screate_simple(3, dims, NULL);
    dcpl = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_chunk(dcpl, 3, chunk);
    if (H5Pset_augur(dcpl, &options) < 0)
        return 11;
    set = H5Dcreate2(file, "u", H5T_NATIVE_FLOAT, space, H5P_DEFAULT, dcpl, H5P_DEFAULT);
    if (argv[4][0] && (H5augur_set_model_attribute(set, "sha256:0") < 0 || H5augur_set_model_attribute(set, argv[4]) < 0))
        return 12;
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    if (H5augur_set_model_attribute(set, "") >= 0 || H5augur_set_model_attribute(-1, "sha256:0") >= 0)
        return 13;
    if (set < 0 || H5Dwrite(set, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) < 0)
        return 14;
    return H5Dclose(set) < 0 || H5Pclose(dcpl) < 0 || H5Sclose(space) < 0 || H5Fclose(file) < 0 ? 15 : 0;
}
"""


def test_c_program_names_the_model(files, embedded, run_python, plugin_env, tmp_path):  # noqa: F811
    program = compile_c(tmp_path, WITH_A_MODEL, "-std=c99")
    data = models.travelling()
    data.tofile(tmp_path / "raw")
    for i, (options, attribute) in enumerate([("sha256:{}", ""), ("", "/_augur/models/{}"), ("", "sha256:{}")]):
        path, digest = embedded(f"{i}.h5")
        arguments = path, options.format(digest), tmp_path / "raw", attribute.format(digest)
        done = run(program, *arguments, env=plugin_env, check=False)
        assert (done.returncode, done.stderr) == (0, ""), (options, attribute)
        assert models_of(run_python, path, plugin_env) == [digest] * 2, (options, attribute)
        assert largest_error(files.read(path), data) <= 0.05
    # Without either the data are as safe, and a line says what is amiss.
    path, digest = embedded("none.h5")
    done = run(program, path, "", tmp_path / "raw", "", env=plugin_env)
    assert "augur_model" in done.stderr
    assert models_of(run_python, path, plugin_env) == ["None"] * 2
    assert largest_error(files.read(path), data) <= 0.05


def test_h5py_and_debian_read_each_others_files(files, plugin_env, tmp_path):  # noqa: F811
    """The wheel's HDF5 2.x writes, Debian's 1.10 reads: the same values in both."""
    need("h5dump")
    for dtype in ("<f4", ">f8", "<i2", "|u1"):
        data = (waves() * 50 + 100).astype(dtype)
        path = files.write_augur(tmp_path / f"{dtype[1:]}.h5", data, 2.0, (16, 48, 64))
        run("h5dump", "-d", "/u", "-b", "FILE", "-o", tmp_path / "u.bin", path, env=plugin_env)
        dumped = np.fromfile(tmp_path / "u.bin", dtype).reshape(data.shape)
        np.testing.assert_array_equal(dumped, files.read(path))
        assert largest_error(dumped, data) <= 2.0
