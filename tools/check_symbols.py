"""Read a built libcpool: what it takes from elsewhere, which instructions it holds, what it exports.

    python tools/check_symbols.py [path/to/libcpool.so.1]    # default: that of the importable cpool

Fails if it needs anything of libm, holds a fused multiply-add or an estimate of a reciprocal (each would make bits depend on
the instruction set), or exports anything but the functions that the header declares. Needs nm, objdump and cc.
"""

import re
import subprocess
import sys
from pathlib import Path

HEADER = Path(__file__).parent.parent / "include" / "cpool" / "cpool.h"

INEXACT = re.compile(
    r"v?fn?m(add|sub|addsub|subadd|la|ls)(\d{3})?[ps]?[sdh]?"  # x86 vfmadd231ps, vfnmsub132sd; ARM fmadd, fnmsub, fmla, fmls
    r"|v?r(cp|sqrt)(14|28)?[ps][sdh]"  # x86 rcpps, vrsqrt14sd
    r"|[fu](recp|rsqrt)[esx]"  # ARM frecpe, frsqrts, urecpe
)


def run(*command: object) -> str:
    return subprocess.run([str(part) for part in command], check=True, capture_output=True, text=True).stdout


def dynamic_symbols(library: Path | str, which: str) -> set[str]:
    """Names without their versions, and without the versions themselves (type A)."""
    rows = [line.split() for line in run("nm", "-D", which, library).splitlines()]
    return {row[-1].split("@")[0] for row in rows if row[-2] != "A"}


def symbols_of_libm(library: Path) -> set[str]:
    # libc has a few of them too (ldexp, copysign), so that linking without -lm does not show them.
    libm = run("cc", "-print-file-name=libm.so.6").strip()
    return dynamic_symbols(library, "--undefined-only") & dynamic_symbols(libm, "--defined-only")


def inexact_instructions(library: Path) -> set[str]:
    text = run("objdump", "-d", "--no-show-raw-insn", library)
    mnemonics = set(re.findall(r"^ +[0-9a-f]+:\t(?:\{\w+\} )?(\w+)", text, re.MULTILINE))
    if "ret" not in mnemonics:
        raise RuntimeError(f"objdump gave no instructions for {library}")
    return {name for name in mnemonics if INEXACT.fullmatch(name)}


def declared_functions() -> set[str]:
    text = re.sub(r"/\*.*?\*/", "", HEADER.read_text(encoding="utf-8"), flags=re.DOTALL)
    return set(re.findall(r"^CPOOL_API [^;(]*?(\w+)\(", text, re.MULTILINE))


def problems(library: Path) -> list[str]:
    exported, declared = dynamic_symbols(library, "--defined-only"), declared_functions()
    found = {
        "functions of libm": symbols_of_libm(library),
        "fused or estimating instructions": inexact_instructions(library),
        "exported but not in the header": exported - declared,
        "in the header but not exported": declared - exported,
    }
    return [f"{what}: {', '.join(sorted(names))}" for what, names in found.items() if names]


def main() -> None:
    if len(sys.argv) > 1:
        library = Path(sys.argv[1])
    else:
        import cpool

        library = Path(cpool.__file__).parent / "lib" / "libcpool.so.1"
    found = problems(library)
    print(*found or [f"{library}: no libm, no inexact instruction, {len(declared_functions())} functions exported"], sep="\n")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
