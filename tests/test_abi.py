"""The C interface as a C compiler, a C++ compiler and the loader see it."""

import ctypes
import re
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

import cpool

ROOT = Path(__file__).parent.parent
HEADER = ROOT / "include" / "cpool" / "cpool.h"
ABI1 = ROOT / "tests" / "abi1"
LIBRARY = Path(cpool.__file__).parent / "lib" / "libcpool.so.1"
WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror"]

# In bytes, where pointers have 64 bits.
SIZES = {
    "cpool_error": 304,
    "cpool_view": 64,
    "cpool_arg": 72,
    "cpool_pool_params": 384,
    "cpool_norm_params": 368,
    "cpool_exec": 88,
    "cpool_shape": 560,
    "cpool_info": 80,
}


def compile_text(tmp_path, compiler, suffix, standard, text):
    if shutil.which(compiler) is None:
        pytest.skip(f"no compiler named {compiler}")
    source = tmp_path / f"source{suffix}"
    source.write_text(text)
    flags = [f"-std={standard}", *WARNINGS, f"-I{cpool.get_include()}"]
    done = subprocess.run([compiler, *flags, "-c", source, "-o", tmp_path / "object.o"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("compiler", "suffix", "standard"), [("cc", ".c", "c11"), ("c++", ".cpp", "c++17")])
def test_header_and_initializers(tmp_path, compiler, suffix, standard):
    initializers = re.findall(r"^#define (CPOOL_(\w+)_INIT) ", HEADER.read_text(), re.MULTILINE)
    assert len(initializers) == 6
    lines = [f"void use(void); void use(void) {{ cpool_{name.lower()} s = {macro}; (void)s; }}".replace("use", f"use_{name}")
             for macro, name in initializers]
    compile_text(tmp_path, compiler, suffix, standard, "\n".join(["#include <cpool/cpool.h>", *lines, ""]))


@pytest.mark.skipif(struct.calcsize("P") != 8, reason="the sizes are those of 64-bit pointers")
@pytest.mark.parametrize(("compiler", "suffix", "standard"), [("cc", ".c", "c11"), ("c++", ".cpp", "c++17")])
def test_sizes_of_structs(tmp_path, compiler, suffix, standard):
    assert set(re.findall(r"^typedef struct (\w+) \{", HEADER.read_text(), re.MULTILINE)) == set(SIZES)
    lines = [f'static_assert(sizeof({name}) == {size}, "{name}");' for name, size in SIZES.items()]
    text = "\n".join(["#include <assert.h>", "#include <cpool/cpool.h>", *lines, ""])
    compile_text(tmp_path, compiler, suffix, standard, text)


def test_symbols_and_instructions_of_the_library():
    for tool in ("nm", "objdump", "cc"):
        if shutil.which(tool) is None:
            pytest.skip(f"no {tool}")
    script = ROOT / "tools" / "check_symbols.py"
    done = subprocess.run([sys.executable, script, LIBRARY], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_versions():
    library = ctypes.CDLL(LIBRARY)
    library.cpool_version.restype = ctypes.c_char_p
    text = HEADER.read_text()
    assert library.cpool_version().decode() == cpool.__version__ == re.search(r'CPOOL_VERSION "(.+)"', text)[1]
    assert library.cpool_abi_version() == int(re.search(r"CPOOL_ABI_VERSION (\d+)", text)[1])


def constants(header):
    text = re.sub(r"/\*.*?\*/", "", header.read_text(), flags=re.DOTALL)
    found = re.findall(r"\b(CPOOL_[A-Z0-9_]+)\s*=\s*(\d+)", text)
    found += re.findall(r"^#define (CPOOL_[A-Z0-9_]+) (\(?[A-Z0-9_]+(?: \+ \d+\)|\(\d+\))?) *$", text, re.MULTILINE)
    return dict(found)


def test_constants_keep_their_numbers():
    first = constants(ABI1 / "cpool" / "cpool.h")
    assert len(first) == 100
    assert first["CPOOL_STATS"] == "20"
    assert first["CPOOL_ADD"] == "UINT32_C(16)"
    assert first["CPOOL_AXIS_NONE"] == "(INT32_MIN + 1)"
    assert first.items() <= constants(HEADER).items()


OF_ABI1 = """\
taps: 2x2 of 1 8-bit
max: 4 5 6 6
indices: 4 2 13 13
gradient: 0 0 2 0 1 0 0 0 0 0 0 0 0 7 0 0
status 1 as in the error: 1, role 0, a message: 1
stats: 3x2
batch norm: -2 2 -2 2 -1 1 1 -1
gradient: 1 1 -1 -1 0.25 0.25 -0.25 -0.25
of the weight: 0 4
moments: 8 8, 2 0, 8 128
"""


def test_a_program_of_abi_1_runs(tmp_path):
    if shutil.which("cc") is None:
        pytest.skip("no compiler named cc")
    program = tmp_path / "program"
    flags = ["-std=c11", *WARNINGS, f"-I{ABI1}"]
    done = subprocess.run(["cc", *flags, ABI1 / "program.c", LIBRARY, f"-Wl,-rpath,{LIBRARY.parent}", "-o", program],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    done = subprocess.run([program], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    expected = OF_ABI1 * len(cpool.isas()) + "threads: 64\nABI 1, a version: 1, a name: 1\n"
    assert done.stdout == expected
