"""Build the C core with gcc's counters, run the C tests and the tests, and print which of its lines ran.

    python tools/coverage.py

Prints the lines of each file that no test reached, and fails below 95 % of all. A line of a kernel is reached if it is for any
lane and instruction set. A fresh copy of the tree is built and tested, build/coverage; what is not reached, and why, is in
CONTRIBUTING.md. Needs gcc and, of PyPI, gcovr. CC="ccache gcc" makes the next build quick.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
COPY = ROOT / "build" / "coverage"
# Atomic: gcov works most counts out from others, and a sum that another thread spoiled could say that a line never ran.
ENVIRONMENT = {"CC": "gcc", **os.environ, "CFLAGS": "-O1 --coverage -fprofile-update=atomic", "LDFLAGS": "--coverage",
               "PYTHONPATH": str(COPY)}
# Without a limit beyond which counts are taken for a mistake: some lines run 2^32 times.
GCOVR = ["-m", "gcovr", "--filter", "src/cpool", "--merge-lines", "--gcov-suspicious-hits-threshold", "0",
         "--fail-under-line", "95", "--txt", "-", "build/temp/src"]


def copy_tree() -> None:
    """The files that git has or would add."""
    listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, check=True,
                            capture_output=True, text=True).stdout
    shutil.rmtree(COPY, ignore_errors=True)
    for name in filter(os.path.isfile, (ROOT / name for name in listed.split("\0"))):
        target = COPY / name.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(name, target)


def run(*arguments: str) -> bool:
    return subprocess.run([sys.executable, *arguments], cwd=COPY, env=ENVIRONMENT).returncode == 0


def main() -> None:
    copy_tree()
    if not run("setup.py", "-q", "build_ext", "--inplace"):
        sys.exit("does not build")
    well = run("tools/run_c_tests.py", "--built")
    well &= run("-m", "pytest", "-q", "-n", "auto")
    well &= run(*GCOVR)
    sys.exit(not well)


if __name__ == "__main__":
    main()
