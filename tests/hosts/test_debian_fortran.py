"""The Fortran module, compiled and run against the distribution's HDF5."""

from __future__ import annotations

import os
import re

import models
import pytest
from compiled import INCLUDE, WINDOWS, documented_windows, embedded, models_of, numbers  # noqa: F401
from debian import FILTER_ID, ROOT, files, largest_error, need, run  # noqa: F401

WINDOWS_IN_FORTRAN = """
program windows
   use, intrinsic :: iso_fortran_env, only: real64
   use hdf5
   use augur_h5
   implicit none
   type(augur_options) :: options
   character(len=64) :: text(4)
   character(len=16) :: name
   integer(hid_t) :: dcpl
   integer(size_t) :: count
   integer :: i, k, window, warm_up, error, flags, id, values(16)
   real(real64) :: threshold

   call h5open_f(error)
   do i = 1, command_argument_count(), 4
      do k = 1, 4
         call get_command_argument(i + k - 1, text(k))
      end do
      read (text(1), *) window
      read (text(2), *) threshold
      read (text(3), *) warm_up
      options = augur_absolute(0.5d0)
      if (window == 0 .and. threshold == 0) then
         call augur_set_windows(options, warm_up=warm_up, open_loop=text(4) == '1')
      else
         call augur_set_windows(options, window, threshold, warm_up, text(4) == '1')
      end if
      call h5pcreate_f(H5P_DATASET_CREATE_F, dcpl, error)
      call h5pset_augur_f(dcpl, options, error)
      if (error < 0) stop 11
      count = size(values)
      values = 0
      call h5pget_filter_f(dcpl, 0, flags, count, values, int(len(name), size_t), name, id, error)
      write (*, '(10(i0, 1x))') values(:10)
   end do
end program windows
"""


def compile_fortran(tmp_path, name, text):
    """Compiles a program with the module; returns it."""
    need("gfortran", "pkg-config")
    source = tmp_path / f"{name}.f90"
    source.write_text(text)
    flags = run("pkg-config", "--cflags", "--libs", "hdf5-serial", env=dict(os.environ)).stdout.split()
    include = next((f for f in flags if f.startswith("-I")), "-I/usr/include/hdf5/serial")
    run("gfortran", "-O1", "-Wall", "-Werror=implicit-interface", include, INCLUDE / "augur_h5.f90", source,
        "-o", tmp_path / name, *flags, "-lhdf5_fortran", env=dict(os.environ), cwd=tmp_path)
    return tmp_path / name


def test_windows_are_the_same_words_in_fortran(plugin_env, tmp_path):
    arguments = [repr(value) for window in WINDOWS for value in window[:4]]
    done = run(compile_fortran(tmp_path, "windows", WINDOWS_IN_FORTRAN), *arguments, env=plugin_env)
    assert numbers(done.stdout) == list(documented_windows())


FORTRAN_WITH_A_MODEL = """
program learned
   use, intrinsic :: iso_fortran_env, only: real32
   use hdf5
   use augur_h5
   implicit none
   integer(hid_t) :: file, space, dcpl, set
   integer(hsize_t), parameter :: extent(3) = [61_hsize_t, 60_hsize_t, 32_hsize_t]
   real(real32) :: data(61, 60, 32)
   character(len=512) :: path, model, raw
   type(augur_options) :: options
   integer :: error, unit

   call get_command_argument(1, path)
   call get_command_argument(2, model)
   call get_command_argument(3, raw)
   open (newunit=unit, file=raw, access='stream', form='unformatted', status='old', action='read')
   read (unit) data
   close (unit)
   call h5open_f(error)
   call h5fopen_f(trim(path), H5F_ACC_RDWR_F, file, error)
   call h5screate_simple_f(3, extent, space, error)
   call h5pcreate_f(H5P_DATASET_CREATE_F, dcpl, error)
   call h5pset_chunk_f(dcpl, 3, [61_hsize_t, 60_hsize_t, 16_hsize_t], error)
   options = augur_absolute(0.05d0)
   if (index(model, 'attribute:') == 1) then
      call augur_set_model(options)
   else
      call augur_set_model(options, trim(model))
      options%strict = .true.
   end if
   call h5pset_augur_f(dcpl, options, error)
   if (error < 0) stop 11
   call h5dcreate_f(file, 'u', H5T_NATIVE_REAL, space, set, error, dcpl)
   if (error < 0) stop 12
   if (index(model, 'attribute:') == 1) then
      call h5augur_set_model_attribute_f(set, 'nothing of the kind', error)
      call h5augur_set_model_attribute_f(set, trim(model(11:)), error)
      if (error < 0) stop 13
   end if
   call h5dwrite_f(set, H5T_NATIVE_REAL, data, extent, error)
   if (error < 0) stop 14
   call h5dclose_f(set, error)
   call h5fclose_f(file, error)
   call h5close_f(error)
end program learned
"""


def test_fortran_program_names_the_model(files, embedded, run_python, plugin_env, tmp_path):  # noqa: F811
    compile_fortran(tmp_path, "learned", FORTRAN_WITH_A_MODEL)
    data = models.travelling()
    data.tofile(tmp_path / "raw")
    for i, form in enumerate(["{}", "sha256:{}", "attribute:sha256:{}", "attribute:/_augur/models/{}"]):
        path, digest = embedded(f"{i}.h5")
        done = run(tmp_path / "learned", path, form.format(digest), tmp_path / "raw", env=plugin_env, check=False)
        assert (done.returncode, done.stderr) == (0, ""), form
        assert models_of(run_python, path, plugin_env) == [digest] * 2, form
        assert largest_error(files.read(path), data) <= 0.05
    path, digest = embedded("wrong.h5")
    done = run(tmp_path / "learned", path, digest[1:], tmp_path / "raw", env=plugin_env, check=False)
    assert done.returncode == 11 and "is no SHA-256, expected 64 hexadecimal digits" in done.stderr


BAD_IN_FORTRAN = """
program bad
   use, intrinsic :: iso_fortran_env, only: real64, error_unit
   use hdf5
   use augur_h5
   implicit none
   type(augur_options) :: options
   integer(hid_t) :: dcpl
   integer :: error

   call h5open_f(error)
   call h5pcreate_f(H5P_DATASET_CREATE_F, dcpl, error)
   options = augur_absolute(1.0d0)
   call augur_set_windows(options, window=1)
   call refused()
   call augur_set_windows(options, threshold=1.5d0)
   call refused()
   call augur_set_windows(options, window=8, threshold=0.5d0)
   call refused()
   call augur_set_windows(options, warm_up=8)
   call refused()
   call augur_set_windows(options, window=8)
   options%preset = AUGUR_PRESET_TEZIP_PLUS
   call refused()
   options = augur_absolute(1.0d0)
   options%preset = 9
   call refused()
   options%preset = AUGUR_PRESET_AE_SZ_PLUS
   options%by_distance = .true.
   call refused()
   options%preset = AUGUR_PRESET_CAE
   options%open_loop = .true.
   call refused()
contains
   subroutine refused()
      call h5pset_augur_f(dcpl, options, error)
      if (error >= 0) stop 11
   end subroutine refused
end program bad
"""


def test_fortran_refuses_windows_with_the_reason(plugin_env, tmp_path):
    done = run(compile_fortran(tmp_path, "bad", BAD_IN_FORTRAN), env=plugin_env)
    expected = ["every 1 time steps", "threshold of key frames is 1.5", "both say where", "warm-up of 8", "but preset 5 has no key frames",
                "preset 9 is unknown", "but preset 7 has no blocks", "but preset 8 has no key frames"]
    lines = [line for line in done.stderr.splitlines() if line.startswith("augur: ")]
    assert len(lines) == len(expected) and all(e in line for e, line in zip(expected, lines)), done.stderr


@pytest.fixture(scope="session")
def fortran_program(tmp_path_factory):
    """The Fortran example, compiled against the distribution's HDF5."""
    need("gfortran", "make", "pkg-config")
    out = tmp_path_factory.mktemp("fortran")
    run("make", "-C", ROOT / "examples" / "fortran", f"OUT={out}", "FFLAGS=-O2 -Werror", env=dict(os.environ))
    return out / "advection"


def test_examples_take_models(fortran_program, files, run_python, plugin_env, tmp_path):  # noqa: F811
    need("cc", "make", "pkg-config")
    run("make", "-C", ROOT / "examples" / "c", f"OUT={tmp_path}", env=dict(os.environ))
    digest = models.digest(models.shifting_model())
    env = {**plugin_env, "AUGUR_MODEL_PATH": str(models.store(tmp_path / "models", models.shifting_model()).parent)}
    run(tmp_path / "gray_scott", tmp_path / "c.h5", "--steps", "32", "--model", digest, env=env)
    run(fortran_program, tmp_path / "f.h5", "1e-3", f"sha256:{digest}", env=env)
    for name, dataset in (("c.h5", "u"), ("f.h5", "wave")):
        done = run_python(
            "import h5py, sys\nwith h5py.File(sys.argv[1]) as f:\n"
            "    print(*f[sys.argv[2]].id.get_create_plist().get_filter(0)[2][:10])",
            tmp_path / name, dataset, env=env,
        )
        options = tuple(map(int, done.stdout.split()))
        assert options[0] >> 8 & 255 == 3 and options[6:] == models.words(1e-3, models.shifting_model())[6:]
        assert models_of(run_python, tmp_path / name, env, dataset) != []


def test_fortran_program_writes_and_reads(fortran_program, files, plugin_env, tmp_path):  # noqa: F811
    done = run(fortran_program, tmp_path / "wave.h5", "1e-3", env=plugin_env)
    found = re.search(r"bytes (\d+), ratio +([\d.]+), largest error over bound +([\d.]+)", done.stdout)
    assert found, done.stdout
    assert float(found[3]) <= 1
    assert files.filters(tmp_path / "wave.h5", "wave") == [FILTER_ID]
    assert files.stored(tmp_path / "wave.h5", "wave") == int(found[1])
    assert files.read(tmp_path / "wave.h5", "wave").shape == (40, 96, 128)  # Fortran's axes, reversed


def test_fortran_says_what_is_wrong(fortran_program, plugin_env, clean_env, tmp_path):
    done = run(fortran_program, tmp_path / "wave.h5", "-1e-3", env=plugin_env, check=False)
    assert done.returncode == 1
    assert float(re.search(r"the absolute bound is (\S+), it must be finite", done.stderr)[1]) == -1e-3
    done = run(fortran_program, tmp_path / "wave.h5", "1e-3", env=clean_env, check=False)
    assert done.returncode == 1 and "HDF5_PLUGIN_PATH" in done.stderr
