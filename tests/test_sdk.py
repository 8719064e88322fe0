"""C and C++ programs against what is installed: examples/c, by the command line, pkg-config and CMake."""

import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import cpool
from cpool.__main__ import main

PROGRAMS = Path(__file__).parent.parent / "examples" / "c"
PHOTO = PROGRAMS / "camera.pgm"
WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror"]
STANDARDS = {"c11": ["cc", "-std=c11"], "c++17": ["c++", "-std=c++17", "-x", "c++"]}


def needs(*tools):
    for tool in tools:
        if shutil.which(tool) is None:
            pytest.skip(f"no {tool}")


def printed(capsys, *args):
    main(list(args))
    return capsys.readouterr().out.split()


def output(*command, **kwargs):
    done = subprocess.run(command, capture_output=True, text=True, **kwargs)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def build(name, standard, flags, folder):
    program = folder / name
    output(*STANDARDS[standard], *WARNINGS, PROGRAMS / f"{name}.c", "-x", "none", *flags, "-pthread", "-lm", "-o", program)
    return program


def pgm(path):
    kind, size, largest, pixels = path.read_bytes().split(b"\n", 3)
    assert (kind, largest) == (b"P5", b"255")
    width, height = map(int, size.split())
    return np.frombuffer(pixels, np.uint8).reshape(height, width)


def check_pool(program, folder):
    x = np.array([[1, 2, 5, 3], [4, 0, 1, 2], [-1, 3, 2, 2], [0, 6, -2, 4]], np.float32)
    y, saved = cpool.max_pool.forward(x, 3, stride=2, padding=1)
    expected = [f"{value:g} at row {i // 4}, column {i % 4}" for value, i in zip(y.flat, saved.indices.flat, strict=True)]
    assert output(program).splitlines() == expected == [
        "4 at row 1, column 0", "5 at row 0, column 2", "6 at row 3, column 1", "6 at row 3, column 1"]


def check_infer(program, folder):
    lines = output(program, PHOTO, folder / "features.pgm").splitlines()
    x = pgm(PHOTO).astype(np.float32) / np.float32(255)
    maps = np.stack([cpool.max_pool(x, 4), cpool.min_pool(x, 4)])[None]
    y = cpool.batch_norm(maps, np.float32([0.5, -0.5]), np.zeros(2, np.float32), mean=np.float32([0.55, 0.4]),
                         var=np.float32([0.09, 0.07]), relu=True)[0]
    features = (np.minimum(y, 1) * np.float32(255)).astype(np.uint8)
    np.testing.assert_array_equal(pgm(folder / "features.pgm"), features.reshape(64, 32))
    bright, dark = (int(np.count_nonzero(feature)) for feature in y)
    assert lines == [f"bright: {bright} of 1024 cells", f"dark: {dark} of 1024 cells"]
    assert 100 < dark < bright < 924


def check_train(program, folder):
    agrees, losses = output(program).splitlines()
    assert agrees == "the gradient with respect to the input agrees with differences"
    before, after = (float(word.rstrip(",")) for word in losses.split() if "." in word)
    assert 0 < after < 0.9 * before and math.isfinite(before)


def check_parallel_for(program, folder):
    assert output(program) == "split, the same bits\n"


CHECKS = {"pool": check_pool, "infer": check_infer, "train": check_train, "parallel_for": check_parallel_for}


def test_every_program_is_checked():
    assert {path.stem for path in PROGRAMS.glob("*.c")} == set(CHECKS)


@pytest.mark.parametrize("standard", STANDARDS)
@pytest.mark.parametrize("name", CHECKS)
def test_by_the_command_line(name, standard, capsys, tmp_path):
    needs(STANDARDS[standard][0])
    CHECKS[name](build(name, standard, printed(capsys, "--cflags", "--libs"), tmp_path), tmp_path)


def test_the_benchmark_of_a_call(capsys, tmp_path):
    needs("cc")
    source, flags = PROGRAMS.parent.parent / "benchmarks" / "call.c", printed(capsys, "--cflags", "--libs")
    output(*STANDARDS["c11"], *WARNINGS, f"-I{PROGRAMS}", source, *flags, "-o", tmp_path / "call")
    lines = output(tmp_path / "call", "1").splitlines()
    assert [line.split(": ")[0] for line in lines] == [f"{side} x {side}" for side in (4, 8, 16, 32, 64)]
    assert all(float(line.split()[-2]) > 0 for line in lines)


def test_by_pkg_config(capsys, tmp_path):
    needs("cc", "pkg-config")
    (folder,) = printed(capsys, "--pkgconfigdir")
    environment = os.environ | {"PKG_CONFIG_PATH": folder}
    assert output("pkg-config", "--modversion", "cpool", env=environment).strip() == cpool.__version__
    flags = output("pkg-config", "--cflags", "--libs", "cpool", env=environment).split()
    check_pool(build("pool", "c11", flags, tmp_path), tmp_path)


def test_by_cmake(capsys, tmp_path):
    needs("cc", "cmake", "make")
    (folder,) = printed(capsys, "--cmakedir")
    output("cmake", "-S", PROGRAMS, "-B", tmp_path, f"-Dcpool_DIR={folder}", "-DCMAKE_C_FLAGS=" + " ".join(WARNINGS))
    output("cmake", "--build", tmp_path)
    for name, check in CHECKS.items():
        check(tmp_path / name, tmp_path)


def test_an_installation_can_be_moved(capsys, tmp_path):
    """What pkg-config and CMake read names no folder, and neither does the library."""
    files = [Path(printed(capsys, "--pkgconfigdir")[0], "cpool.pc"), *Path(printed(capsys, "--cmakedir")[0]).iterdir()]
    assert len(files) == 3
    for path in files:
        text = path.read_text(encoding="utf-8")
        assert "@" not in text
        assert str(Path(cpool.__file__).parent.parent) not in text


@pytest.mark.skipif(sys.platform != "linux", reason="reads ELF")
def test_a_program_of_another_folder_finds_the_library(capsys, tmp_path):
    needs("cc", "ldd")
    program = build("pool", "c11", printed(capsys, "--cflags", "--libs"), tmp_path)
    (line,) = [line for line in output("ldd", program).splitlines() if "libcpool" in line]
    assert os.path.samefile(line.split("=>")[1].split()[0], Path(cpool.__file__).parent / "lib" / "libcpool.so.1")
