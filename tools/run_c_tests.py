"""Build and run the programs tests/c/check_*.c, each linked to the whole C core.

    python tools/run_c_tests.py [name ...]    # python tools/run_c_tests.py threads overlap

CC and CFLAGS of the environment are respected. A program that has a part per instruction set (defined(CHECK_avx2)) is compiled
once for each, and once for itself. Needs gcc's libquadmath.
"""

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
FLAGS = ["-std=c11", "-O2", "-ffp-contract=off", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-pthread", "-DCPOOL_STATIC",
         "-Iinclude", "-Isrc/cpool", *shlex.split(os.environ.get("CFLAGS", ""))]


def main() -> None:
    programs = [ROOT / "tests" / "c" / f"check_{name}.c" for name in sys.argv[1:]] or sorted(ROOT.glob("tests/c/check_*.c"))
    with tempfile.TemporaryDirectory() as folder:

        def compile_one(source: Path, define: str = "CPOOL_STATIC") -> Path:
            target = Path(folder) / f"{'_'.join(source.relative_to(ROOT).parts)}.{define}.o"
            subprocess.run([*CC, *FLAGS, f"-D{define}", "-c", source.relative_to(ROOT), "-o", target], cwd=ROOT, check=True)
            return target

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            core = pool.map(compile_one, sorted((ROOT / "src").rglob("*.c")))
            parts = {
                program: [pool.submit(compile_one, program)] + [
                    pool.submit(compile_one, program, part)
                    for part in sorted(set(re.findall(r"defined\((CHECK_\w+)\)", program.read_text(encoding="utf-8"))))]
                for program in programs}
            core = list(core)

        failed = []
        for program, objects in parts.items():
            print(f"-- {program.stem}", flush=True)
            executable = Path(folder) / program.stem
            libraries = ["-lquadmath", "-lm"]
            subprocess.run([*CC, *FLAGS, *(part.result() for part in objects), *core, *libraries, "-o", executable], check=True)
            if subprocess.run([executable], cwd=folder).returncode:
                failed.append(program.stem)
    print(f"{len(programs) - len(failed)} programs passed, {len(failed)} failed", *failed)
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
