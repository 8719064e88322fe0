"""Compare the interface of today's libcpool with that of ABI 1, which tests/abi1/libcpool.abi records.

    python tools/check_abi.py            # seconds
    python tools/check_abi.py --write    # enter a change that docs/ABI.md allows

Fails on whatever a compiled program could notice in functions and structs, allowed or not, except functions that are added.
Numbers of constants are the business of tests/test_abi.py. Only the files that define the functions are compiled, with debug
information; the rest of the core is left undefined. Needs cc and, of Debian's package abigail-tools, abidw and abidiff.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
RECORD = ROOT / "tests" / "abi1" / "libcpool.abi"
FLAGS = ["-std=c11", "-O0", "-g", "-fPIC", "-shared", "-fvisibility=hidden", "-pthread", "-DCPOOL_BUILD", "-Iinclude",
         "-Isrc/cpool", "-Wl,-soname,libcpool.so.1", "-Wl,--version-script=src/cpool/libcpool.map"]
# What of the files that are compiled is not in the header, and what of the machine, does not belong into the record.
PUBLIC = ["--headers-dir", "include", "--drop-private-types", "--exported-interfaces-only", "--no-parameter-names",
          "--no-corpus-path", "--no-comp-dir-path", "--no-show-locs", "--no-elf-needed", "--no-architecture"]


def run(*command: object) -> int:
    return subprocess.run([str(part) for part in command], cwd=ROOT).returncode


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        library, today = Path(folder, "libcpool.so.1"), Path(folder, "libcpool.abi")
        sources = sorted(path.relative_to(ROOT) for path in (ROOT / "src" / "cpool").glob("*.c"))
        if run("cc", f"-ffile-prefix-map={ROOT}=.", *FLAGS, *sources, "-o", library) or run(
                "abidw", *PUBLIC, "--out-file", RECORD if "--write" in sys.argv else today, library):
            sys.exit(2)
        if "--write" in sys.argv:
            return
        if run("abidiff", "--no-added-syms", RECORD, today):
            sys.exit(f"not the interface that {os.path.relpath(RECORD)} records; docs/ABI.md says what may change")
    print("the interface is that of ABI 1, functions that were added aside")


if __name__ == "__main__":
    main()
