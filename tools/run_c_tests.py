"""Build and run the programs tests/c/check_*.c, each linked to the whole C core.

    python tools/run_c_tests.py [--built] [--valgrind] [name ...]    # python tools/run_c_tests.py threads overlap

--built: with the core as the last build of the package left it in build/temp, instead of compiling it. --valgrind: under
memcheck, whose reports are failures, memory that is lost included. CC and CFLAGS of the environment are respected. A program
that has a part per instruction set (defined(CHECK_avx2)) is compiled once for each, and once for itself. Needs gcc's
libquadmath.
"""

import argparse
import os
import re
import shlex
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parent.parent
CC = shlex.split(os.environ.get("CC", "cc"))
FLAGS = ["-std=c11", "-O1", "-ffp-contract=off", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror", "-pthread",
         "-DCPOOL_STATIC", "-Iinclude", "-Isrc/cpool", *shlex.split(os.environ.get("CFLAGS", ""))]

VALGRIND = ["valgrind", "-q", "--leak-check=full", "--show-leak-kinds=definite", "--errors-for-leak-kinds=definite",
            "--error-exitcode=99"]


def run(command: list[str]) -> tuple[int, str]:
    """Its status, and what it prints."""
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.returncode, done.stdout


def run_under_valgrind(program: str) -> tuple[int, str]:
    # Children of a fork lose what threads of their parent held, and some have less memory than Valgrind needs.
    arguments = ["--no-fork"] if program.endswith("check_threads") else []
    status, text = run([*VALGRIND, program, *arguments])
    # Valgrind's long double has 64 bits, with which check_math cannot tell how accurate functions are.
    return (0 if status == 1 and program.endswith("check_math") else status), text


def parts(program: Path) -> list[str]:
    """The macros that select the parts of a program; the last one selects nothing."""
    return [*sorted(set(re.findall(r"defined\((CHECK_[a-z]\w+)\)", program.read_text(encoding="utf-8")))), "CHECK"]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--built", action="store_true")
    parser.add_argument("--valgrind", action="store_true")
    parser.add_argument("names", nargs="*")
    args = parser.parse_args()
    programs = [ROOT / "tests" / "c" / f"check_{name}.c" for name in args.names] or sorted(ROOT.glob("tests/c/check_*.c"))
    core = sorted((ROOT / "src").rglob("*.c"))
    built = [str(ROOT / "build" / "temp" / source.relative_to(ROOT).with_suffix(".o")) for source in core if args.built]
    units = [(source, "CHECK") for source in core if not args.built]
    units += [(program, part) for program in programs for part in parts(program)]
    with tempfile.TemporaryDirectory() as folder:

        def compile_one(unit: tuple[Path, str]) -> str:
            source, part = unit
            name = source.relative_to(ROOT).as_posix()
            target = f"{folder}/{name.replace('/', '_')}.{part}.o"
            status, text = run([*CC, *FLAGS, f"-D{part}", "-c", name, "-o", target])
            if status != 0:
                raise SystemExit(f"{text}{name} does not compile")
            return target

        def run_one(program: Path) -> tuple[int, str]:
            own = [target for (source, _), target in objects.items() if source in (program, *core)]
            executable = f"{folder}/{program.stem}"
            status, text = run([*CC, *FLAGS, *own, *built, "-lquadmath", "-lm", "-o", executable])
            if status != 0:
                return status, text
            return run_under_valgrind(executable) if args.valgrind else run([executable])

        failed = []
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            objects = dict(zip(units, pool.map(compile_one, units), strict=True))
            for program, (status, text) in zip(programs, pool.map(run_one, programs), strict=True):
                print(f"-- {program.stem}\n{text}", end="", flush=True)
                if status != 0:
                    print(f"{program.stem} ended with status {status}")
                    failed.append(program.stem)
    print(f"{len(programs) - len(failed)} programs passed, {len(failed)} failed", *failed)
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
