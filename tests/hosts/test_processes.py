"""Processes and threads in Python: forked workers, threads, and a process that is killed while it writes."""

from __future__ import annotations

import signal
import subprocess
import textwrap
import time

import pytest


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.parametrize("threads", ["1", "4"])
def test_workers_write_and_read_after_the_parent_did(run_python, clean_env, tmp_path, method, threads):
    """A fork after the plugin has worked in the parent must find it working in the child."""
    program = tmp_path / "program.py"
    program.write_text(textwrap.dedent("""
        import multiprocessing, os, sys
        import h5augur, h5py
        from augur_testing import assert_bound, field

        def work(i):
            path = os.path.join(os.path.dirname(__file__), f"{i}.h5")
            a = field((32, 64, 65), seed=i)
            with h5py.File(path, "w") as f:
                f.create_dataset("x", data=a, chunks=(16, 64, 65), **h5augur.Augur(absolute=1e-3))
            with h5py.File(path) as f:
                assert_bound(a, f["x"][...], 1e-3)
            return i

        if __name__ == "__main__":
            work(100)
            with multiprocessing.get_context(sys.argv[1]).Pool(3) as pool:
                assert pool.map(work, range(8)) == list(range(8))
            work(101)
    """))
    run_python("import runpy, sys; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
               if method == "fork" else f"import subprocess, sys; sys.exit(subprocess.call([sys.executable, *sys.argv[1:]]))",
               program, method, env={**clean_env, "AUGUR_NUM_THREADS": threads})


def test_threads_write_and_read(run_python, clean_env, tmp_path):
    run_python("""
        import sys, threading
        from concurrent.futures import ThreadPoolExecutor
        import h5augur, h5py
        from augur_testing import assert_bound, field

        def work(i):
            path = f"{sys.argv[1]}/{i}.h5"
            a = field((32, 40, 41), seed=i)
            with h5py.File(path, "w") as f:
                f.create_dataset("x", data=a, chunks=(16, 40, 41), **h5augur.Augur(absolute=1e-3))
            with h5py.File(path) as f:
                assert_bound(a, f["x"][...], 1e-3)

        with ThreadPoolExecutor(6) as pool:
            list(pool.map(work, range(24)))
        assert threading.active_count() == 1
    """, tmp_path, env={**clean_env, "AUGUR_NUM_THREADS": "3"})


def test_the_number_of_threads_does_not_change_the_bytes(run_python, clean_env, tmp_path):
    streams = []
    for threads in ("1", "2", "3", "7"):
        done = run_python("""
            import hashlib, sys, h5augur, h5py
            from augur_testing import field
            path = sys.argv[1]
            digest = hashlib.sha256()
            for dtype, bound in (("f4", 1e-3), (">f8", 1e-6), ("i2", 2)):
                with h5py.File(path, "w") as f:
                    d = f.create_dataset("x", data=field((32, 150, 151), dtype), chunks=(16, 150, 151), **h5augur.Augur(absolute=bound))
                    f.flush()
                    for start in (0, 16):
                        digest.update(d.id.read_direct_chunk((start, 0, 0))[1])
            print(digest.hexdigest())
        """, tmp_path / f"{threads}.h5", env={**clean_env, "AUGUR_NUM_THREADS": threads})
        streams.append(done.stdout)
    assert len(set(streams)) == 1


def test_what_was_flushed_survives_a_kill(venv_python, run_python, clean_env, tmp_h5):
    """A writer that is killed between flushes leaves the steps that it flushed readable and within the bound."""
    writer = subprocess.Popen([venv_python, "-c", textwrap.dedent("""
        import sys, time, h5augur, h5py
        from augur_testing import field
        a = field((400, 40, 41))
        with h5py.File(sys.argv[1], "w", libver="latest") as f:
            d = f.create_dataset("x", shape=(0, 40, 41), maxshape=(None, 40, 41), dtype="f4", chunks=(16, 40, 41), **h5augur.Augur(absolute=1e-3))
            f.swmr_mode = True
            for i in range(400):
                d.resize(i + 1, axis=0)
                d[i] = a[i]
                d.flush()
                if i == 40:
                    print("ready", flush=True)
                if i >= 40:
                    time.sleep(0.01)
    """), str(tmp_h5)], env=clean_env, stdout=subprocess.PIPE, text=True)
    assert writer.stdout.readline() == "ready\n"
    time.sleep(0.3)
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    done = run_python("""
        import sys, h5augur, h5py
        from augur_testing import assert_bound, field
        with h5py.File(sys.argv[1], "r", swmr=True) as f:
            b = f["x"][...]
        a = field((400, 40, 41))
        n = len(b) - 1  # the last step may have been on its way
        assert_bound(a[:n], b[:n], 1e-3)
        print(n)
    """, tmp_h5)
    assert int(done.stdout) >= 40


def test_a_full_disk_is_an_error_and_earlier_data_stay(run_python, clean_env, tmp_h5):
    """The file size limit of the process stands for a disk that fills up."""
    done = run_python("""
        import resource, signal, sys, h5augur, h5py, numpy as np
        from augur_testing import field
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        path = sys.argv[1]
        with h5py.File(path, "w") as f:
            f.create_dataset("x", data=field((32, 40, 41)), chunks=(16, 40, 41), **h5augur.Augur(absolute=1e-3))
        import os
        resource.setrlimit(resource.RLIMIT_FSIZE, (os.path.getsize(path) + 100_000,) * 2)
        try:
            with h5py.File(path, "r+") as f:
                d = f.create_dataset("y", shape=(512, 40, 41), dtype="f4", chunks=(16, 40, 41), **h5augur.Augur(absolute=1e-7))
                d[...] = np.random.default_rng(1).normal(size=d.shape)
        except OSError as error:
            print("refused:", error)
            sys.stdout.flush()
            os._exit(3)
    """, tmp_h5, check=False)
    assert done.returncode == 3 and "refused:" in done.stdout, (done.returncode, done.stdout, done.stderr)
    run_python("""
        import sys, h5augur, h5py
        from augur_testing import assert_bound, field
        with h5py.File(sys.argv[1]) as f:
            assert_bound(field((32, 40, 41)), f["x"][...], 1e-3)
    """, tmp_h5)
