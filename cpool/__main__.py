"""The command line: ``cpool`` and ``python -m cpool``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import cpool

LIB = Path(cpool.__file__).parent / "lib"


def libs() -> str:
    """Linker flags: the full path needs no unversioned link and suits any linker, the rpath finds it again at run time."""
    if sys.platform == "win32":
        return str(LIB / "cpool.lib")
    return f"{LIB / ('libcpool.1.dylib' if sys.platform == 'darwin' else 'libcpool.so.1')} -Wl,-rpath,{LIB}"


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog="cpool", description="Pooling, forward and backward, on NumPy arrays, without a framework.",
        epilog="A C program is built with  cc prog.c $(cpool --cflags --libs)")
    p.add_argument("--version", action="version", version=f"cpool {cpool.__version__}")
    p.add_argument("--cflags", action="store_true", help="print the compiler flags of a C program that uses cpool")
    p.add_argument("--libs", action="store_true", help="print the linker flags of a C program that uses cpool")
    p.add_argument("--pkgconfigdir", action="store_true", help="print the folder of cpool.pc, for PKG_CONFIG_PATH")
    p.add_argument("--cmakedir", action="store_true", help="print the folder of the CMake package, for cpool_DIR")
    commands = p.add_subparsers(dest="command", metavar="command")
    commands.add_parser("info", help="print the version, the instruction sets and the threads in use")
    demo = commands.add_parser(
        "demo", help="train a small network on handwritten digits and pool a photograph by every operator",
        description="Train a small convolutional network on the handwritten digits of scikit-learn (convolution in NumPy, "
                    "pooling by cpool), then pool a photograph by every operator and write one labelled picture. "
                    "Needs the packages of  pip install 'cpool[demo]'.")
    demo.add_argument("--survey", action="store_true",
                      help="train the network with every operator, from five starts each, and write a table and the pictures")
    demo.add_argument("--out", type=Path, metavar="FILE",
                      help="where the picture goes (default: cpool_demo.png, of the survey cpool_survey.png)")
    return p


def main(argv: list[str] | None = None) -> None:
    """Run one command line; without arguments, print the help."""
    p = parser()
    args = p.parse_args(argv)
    flags = [f"-I{cpool.get_include()}"] * args.cflags + [libs()] * args.libs
    flags += [str(LIB / "pkgconfig")] * args.pkgconfigdir + [str(LIB / "cmake" / "cpool")] * args.cmakedir
    if flags and args.command:
        p.error(f"--cflags, --libs, --pkgconfigdir and --cmakedir go without a command, got {args.command!r}")
    if flags:
        print(*flags)
    elif args.command == "info":
        cpool.show_config()
    elif args.command == "demo" and args.survey:
        from cpool import survey

        survey.main(args.out or Path("cpool_survey.png"))
    elif args.command == "demo":
        from cpool import demo

        demo.main(args.out or Path("cpool_demo.png"))
    else:
        p.print_help()


if __name__ == "__main__":
    main()
