"""Build the C core and its tests for other machines, run them there under emulators, compare bits with those of this machine.

    python tools/cross.py [--bits] [target ...]    # python tools/cross.py s390x aarch64

Each target compiles all of src/cpool by Zig's C compiler, and links it with tests/c/print_bits.c and with those of
tests/c/check_*.c that its C library can run. The first target always runs: it is this machine. What print_bits prints
has to be the same everywhere, on the instruction sets that are listed here. Fails if anything does not build, fails,
prints other bits, or has no emulator. --bits: print_bits only, a quarter of the time.

Needs, of PyPI, ziglang and wasmtime; of Debian, qemu-user and wine64. check_math is left out: it compares with libquadmath.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
CORE = sorted((ROOT / "src").rglob("*.c"))
FLAGS = ["-std=c11", "-O1", "-g0", "-w", "-ffp-contract=off", "-DCPOOL_STATIC", "-Iinclude", "-Isrc/cpool"]
# Zig takes -O1 for a build to debug, to which it would add a sanitizer.
ZIG = [sys.executable, "-m", "ziglang", "cc", *FLAGS, "-fno-sanitize=undefined", "-target"]

PORTABLE = ["print_bits", "check_vec", "check_norm", "check_overlap"]
POSIX = [*PORTABLE, "check_pool", "check_threads"]
# qemu 7.2 reads what vmaskmovps leaves out, and faults where nothing may be read.
UNGUARDED = ["print_bits", "check_norm", "check_overlap", "check_threads"]
WINE = shutil.which("wine64") or "/usr/lib/wine/wine64"


@dataclass
class Target:
    compiler: list[str]
    programs: list[str]
    runner: list[str] | str | None = None  # a command, "wasmtime", or None: build and link only
    isas: str = ""  # those of this machine


TARGETS = {
    "x86_64": Target(["x86_64-linux-gnu.2.17"], POSIX, []),
    "x86_64-penryn": Target(["x86_64-linux-gnu.2.17"], POSIX, ["qemu-x86_64", "-cpu", "Penryn"], "scalar sse41"),
    "x86_64-haswell": Target(["x86_64-linux-gnu.2.17"], UNGUARDED, ["qemu-x86_64", "-cpu", "Haswell"], "scalar sse41 avx2"),
    "aarch64": Target(["aarch64-linux-musl"], POSIX, ["qemu-aarch64"], "scalar neon"),
    "arm": Target(["arm-linux-musleabihf"], POSIX, ["qemu-arm"], "scalar"),
    "riscv64": Target(["riscv64-linux-musl"], POSIX, ["qemu-riscv64"], "scalar"),
    "s390x": Target(["s390x-linux-musl"], POSIX, ["qemu-s390x"], "scalar"),
    "wasm": Target(["wasm32-wasi"], PORTABLE, "wasmtime", "scalar"),
    "wasm-simd": Target(["wasm32-wasi", "-msimd128"], PORTABLE, "wasmtime", "scalar wasm"),
    "x86_64-windows": Target(["x86_64-windows-gnu"], PORTABLE, [WINE]),
    "aarch64-windows": Target(["aarch64-windows-gnu"], PORTABLE),
    "x86_64-macos": Target(["x86_64-macos"], POSIX),
    "aarch64-macos": Target(["aarch64-macos"], POSIX),
}


def build(compiler: list[str], programs: list[str], folder: Path) -> dict[str, Path]:
    """The programs; raises CalledProcessError."""

    def compile_one(source: Path) -> str:
        target = f"{folder}/{'_'.join(source.relative_to(ROOT).parts)}.o"
        subprocess.run([*compiler, "-c", source, "-o", target], cwd=ROOT, check=True)
        return target

    def link(name: str) -> Path:
        own = compile_one(ROOT / "tests" / "c" / f"{name}.c")
        subprocess.run([*compiler, own, *core, "-pthread", "-lm", "-o", folder / f"{name}.exe"], cwd=ROOT, check=True)
        return folder / f"{name}.exe"

    # The first one alone: Zig then also builds the C library of the target, which is not to happen twice at once.
    core = [compile_one(CORE[0])]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        core += pool.map(compile_one, CORE[1:])
    return {name: link(name) for name in programs}


def run_wasm(program: Path) -> tuple[int, str, str]:
    import wasmtime

    engine = wasmtime.Engine()
    store, linker, wasi = wasmtime.Store(engine), wasmtime.Linker(engine), wasmtime.WasiConfig()
    out, err = program.with_suffix(".out"), program.with_suffix(".err")
    wasi.stdout_file, wasi.stderr_file = str(out), str(err)
    store.set_wasi(wasi)
    linker.define_wasi()
    code = 0
    try:
        linker.instantiate(store, wasmtime.Module.from_file(engine, str(program))).exports(store)["_start"](store)
    except wasmtime.ExitTrap as stop:
        code = stop.code
    return code, out.read_text(), err.read_text()


def run(program: Path, runner: list[str] | str) -> tuple[int, str, str]:
    if runner == "wasmtime":
        return run_wasm(program)
    # A process of qemu-user that has threads cannot fork.
    arguments = ["--no-fork"] if program.stem == "check_threads" and runner else []
    environment = os.environ | {"WINEDEBUG": "-all"}
    done = subprocess.run([*runner, program, *arguments], capture_output=True, text=True, env=environment)
    return done.returncode, done.stdout, done.stderr


def report(name: str, target: Target, names: list[str], here: list[tuple[list[str], str]], folder: Path) -> bool:
    """Builds and runs a target; whether all was well. `here` takes what the first print_bits printed, and its sets."""
    start = time.monotonic()
    try:
        programs = build([*ZIG, *target.compiler], names, folder)
    except subprocess.CalledProcessError as error:
        print(f"{name}: DOES NOT BUILD: {error}", flush=True)
        return False
    print(f"{name}: {len(programs)} programs built in {time.monotonic() - start:.0f} s", flush=True)
    well = True
    for program, path in programs.items():
        if target.runner is None:
            break
        start = time.monotonic()
        code, out, err = run(path, target.runner)
        lines, good = out.splitlines(), code == 0
        last = lines[-1] if lines else ""
        if program == "print_bits":
            isas = " ".join(err.split("instruction sets:")[-1].split())
            here += [(lines, isas)] * (not here)
            same = lines == here[0][0]
            good &= same and isas == (target.isas or here[0][1])
            digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()[:12]
            last = f"{len(lines)} results on {isas}, {'the same' if same else 'OTHER'} bits ({digest})"
        failure = "" if good else f"FAILED, exit code {code}: "
        print(f"  {program}: {failure}{last}, {time.monotonic() - start:.0f} s", flush=True)
        if not good:
            print(*[line for line in lines if "FAILED" in line], err[-2000:], sep="\n", flush=True)
        well &= good
    return well


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--bits", action="store_true")
    parser.add_argument("targets", nargs="*")
    args = parser.parse_args()
    for name in args.targets:  # argparse would look for none among the choices, too
        if name not in TARGETS:
            parser.error(f"{name} is none of {', '.join(TARGETS)}")
    names = list(dict.fromkeys(["x86_64", *(args.targets or TARGETS)]))
    failed: list[str] = []
    here: list[tuple[list[str], str]] = []
    with tempfile.TemporaryDirectory() as temporary:
        for name in names:
            target, folder = TARGETS[name], Path(temporary, name)
            folder.mkdir()
            if not report(name, target, ["print_bits"] if args.bits else target.programs, here, folder):
                failed.append(name)
            shutil.rmtree(folder)
    print(f"{len(names) - len(failed)} targets passed, {len(failed)} failed", *failed)
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
