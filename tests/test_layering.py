"""What the files of the project may know of each other and of the machine, by reading them."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CORE = ROOT / "src" / "cpool"

# They ask what the CPU is and set its modes, and compute nothing.
ABOUT_THE_CPU = {"cpu_x86.c", "dispatch.c", "dispatch.h", "fpenv.h", "threads.c"}

# Calls go down only. A folder may include from these; "" are the files directly in src/cpool.
MAY_INCLUDE = {
    "": {"", "drive", "plan", "kernels", "isa"},
    "drive": {"", "drive", "plan", "kernels", "dtype"},
    "plan": {"", "plan", "dtype"},
    "isa": {"isa", "kernels"},
    "kernels": {"kernels", "dtype"},
    "dtype": {"dtype"},
}


def core_files():
    files = [path for path in CORE.rglob("*") if path.suffix in {".c", ".h", ".def"}]
    assert len(files) > 20
    return files


def code(path):
    return re.sub(r"/\*.*?\*/", " ", path.read_text(encoding="utf-8"), flags=re.DOTALL)


def folder(path):
    return path.relative_to(CORE).parts[0] if path.parent != CORE else ""


def users(pattern):
    return {path.relative_to(CORE).as_posix() for path in core_files() if re.search(pattern, code(path))}


def test_intrinsics_are_used_in_isa_only():
    headers, x86, arm = r"\b(\w*mmintrin|arm_\w+|wasm_\w+)\.h", r"\b_mm\d*_\w+\(|\b__m\d+[di]?\b", r"\bv\w+q_[fsu]\d+\("
    found = users(rf"{headers}|{x86}|{arm}|\bwasm_\w+\(")
    assert {name for name in found if not name.startswith("isa/")} <= ABOUT_THE_CPU
    assert "isa/vec_avx2.h" in found


def test_only_the_thread_pool_allocates():
    assert users(r"\b(malloc|calloc|realloc|aligned_alloc|alloca|free)\s*\(") == {"threads.c"}


def test_no_mathematical_library():
    assert users(r"<(math|tgmath|complex|fenv)\.h>") == set()


def test_nothing_prints_or_ends_the_process():
    assert users(r"\b(printf|fprintf|puts|perror|exit|abort|raise|assert)\s*\(") == set()


@pytest.mark.parametrize("where", MAY_INCLUDE)
def test_includes_go_down(where):
    files = [path for path in core_files() if folder(path) == where]
    assert files
    for path in files:
        for name in re.findall(r'^\s*#\s*include "(.*)"', code(path), re.MULTILINE):
            if name == "cpool/cpool.h":
                continue
            target = CORE / name if (CORE / name).exists() else path.parent / name
            assert folder(target) in MAY_INCLUDE[where], f"{path} includes {name}"


def test_implementations_of_kernels_are_included_by_isa_only():
    interfaces = {"table", "identity", "philox", "taps", "template"}
    implementation = "|".join(path.stem for path in (CORE / "kernels").glob("*.h") if path.stem not in interfaces)
    found = users(rf'"kernels/({implementation})\.h"|"isa/(?!list)')
    assert {name.split("/")[0] for name in found} == {"isa", "kernels"}


def test_instruction_sets_are_told_apart_in_isa_only():
    found = users(r"\b__(AVX|SSE[2-4]|ARM_NEON|wasm_simd128)\w*|\b_M_(X64|ARM64)\b|\b__(x86_64|aarch64)__\b")
    assert {name for name in found if not name.startswith("isa/")} <= ABOUT_THE_CPU


def test_no_path_of_a_machine():
    kinds = {".c", ".h", ".def", ".map", ".py", ".pyi", ".pyx", ".pxd", ".md", ".toml", ".in", ".yml", ".txt"}
    folders = ["cpool", "include", "src", "tests", "tools", "docs", "examples", "benchmarks", ".ci"]
    ours = [ROOT, *(ROOT / name for name in folders)]
    files = [path for place in ours for path in (place.glob("*") if place == ROOT else place.rglob("*"))
             if path.suffix in kinds or path.parent.name == ".ci"]
    assert len(files) > 50
    for path in files:
        found = re.search(r"(?<![\w.}])/(home|root|work|opt|mnt|Users|tmp)\b/?", path.read_text(encoding="utf-8"))
        assert not found, f"{path} names {found[0]}"
