"""Run the tests with one wheel on every minor version of Python that it claims, the first with the oldest NumPy that it claims.

    python tools/test_wheel.py dist/cpool-0.1.0-cp311-abi3-linux_x86_64.whl [argument of pytest ...]

Each is started as python3.N; what is needed is installed into environments in build/wheel.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
WORK = ROOT / "build" / "wheel"
NUMPY = {"3.11": "numpy==1.23.*", "3.12": "numpy==1.26.*", "3.13": "numpy>=2"}


def main() -> None:
    parser = argparse.ArgumentParser(description="Arguments that are not known are pytest's.")
    parser.add_argument("wheel", type=Path)
    args, rest = parser.parse_known_args()
    WORK.mkdir(parents=True, exist_ok=True)
    failed = False
    for version, numpy in NUMPY.items():
        environment = WORK / version
        subprocess.run([f"python{version}", "-m", "venv", "--clear", environment], check=True)
        python = environment / "bin" / "python"
        subprocess.run([python, "-m", "pip", "install", "-q", f"{args.wheel.resolve()}[test]", numpy], check=True)
        print(f"-- CPython {version}, {numpy}, {args.wheel.name}", flush=True)
        # Started elsewhere than in the tree, whose package is another one. C programs and benchmarks are no part of it.
        tests = [ROOT / "tests", *(f"--ignore={ROOT / 'tests' / name}" for name in ("test_sdk.py", "test_benchmarks.py"))]
        command = [python, "-m", "pytest", "-q", "-n", "auto", "-p", "no:cacheprovider", *tests, *rest]
        settings = os.environ | {"PATH": f"{environment / 'bin'}{os.pathsep}{os.environ['PATH']}"}
        settings.pop("PYTHONPATH", None)
        done = subprocess.run(command, cwd=WORK, env=settings)
        failed = failed or done.returncode != 0
    sys.exit(failed)


if __name__ == "__main__":
    main()
