"""Build the fuzzers tests/fuzz/fuzz_*.c with sanitizers and run them, for x86.

    CC=clang-19 python tools/fuzz.py                     # replay the corpora, then 10 seconds of each
    CC=clang-19 python tools/fuzz.py --seconds 3600 --isa scalar,avx2,avx512 --keep pool
    CC=clang-19 python tools/fuzz.py --runs 5000 --seed 1   # the same every time, however long it takes

--isa: kernels to build, the slowest part of the build; the others are the first of them under other names. --keep: add what
covers more to tests/fuzz/corpus, and drop what no longer does. Objects stay in build/fuzz, and so does an input that fails
(crash-*, timeout-*): build/fuzz/fuzz_pool build/fuzz/crash-... repeats it. Kernels are built without those checks of
UndefinedBehaviorSanitizer that are made at every load and store, which take minutes to compile; AddressSanitizer's are made.
--built: with the core as the last build of the package left it in build/temp, instead of compiling it; instruction
sets, sanitizers and guidance are those that it was built with.
"""

import argparse
import base64
import os
import shlex
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parent.parent
BUILD = ROOT / "build" / "fuzz"
ISAS = ["scalar", "sse41", "avx2", "avx512"]
CC = shlex.split(os.environ.get("CC", "clang"))
FLAGS = ["-std=c11", "-O1", "-g1", "-ffp-contract=off", "-fno-sanitize-recover=all", "-DCPOOL_STATIC", "-Iinclude",
         "-Isrc/cpool"]
SANITIZERS = "address,undefined"
OF_KERNELS = "address,signed-integer-overflow,shift,bounds,integer-divide-by-zero,bool,enum,unreachable"
AS_CALLS = ["-mllvm", "-asan-instrumentation-with-call-threshold=0"]  # kernels compile in half the time with them
# Nobody else adds to the corpus: to look for new files in it takes a fifth of the time, as whole stacks of allocations do, and
# to prefer inputs that reach what is rare takes half of it, once there are thousands.
LIMITS = ["-max_len=400", "-timeout=60", "-rss_limit_mb=2000", "-reload=0", "-entropic=0", "-print_final_stats=1",
          f"-artifact_prefix={BUILD}/"]
ENVIRONMENT = os.environ | {"ASAN_OPTIONS": "quarantine_size_mb=8:malloc_context_size=2"}


def build(targets: list[str], isas: list[str], built: bool) -> None:
    headers = [*ROOT.glob("include/**/*.h"), *ROOT.glob("src/**/*.h"), *ROOT.glob("src/**/*.def"), *ROOT.glob("tests/fuzz/*.h")]
    newest = max(header.stat().st_mtime for header in headers)
    kernels = [ROOT / f"src/cpool/isa/{isa}.c" for isa in isas]
    core = [source for source in ROOT.glob("src/**/*.c") if source.parent.name != "isa"]

    def compile_one(source: Path) -> str:
        target = BUILD / f"{'_'.join(source.relative_to(ROOT).parts)}.o"
        if not target.exists() or target.stat().st_mtime < max(newest, source.stat().st_mtime):
            checks = [f"-fsanitize=fuzzer-no-link,{OF_KERNELS if source in kernels else SANITIZERS}"]
            if source in kernels:
                checks += AS_CALLS
            elif source not in core:  # the fuzzer itself compares every byte
                checks += ["-fno-sanitize-coverage=trace-cmp"]
            subprocess.run([*CC, *FLAGS, *checks, "-c", str(source), "-o", str(target)], cwd=ROOT, check=True)
        return str(target)

    BUILD.mkdir(parents=True, exist_ok=True)
    if built:
        found = sorted(ROOT.glob("build/temp/src/**/*.o"))
        if not found or not all(b"__asan_" in path.read_bytes() for path in found if path.stem == "args"):
            sys.exit("--built: the last build of the package had no AddressSanitizer")
        objects, aliases = [str(path) for path in found], []
    else:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            objects = list(pool.map(compile_one, [*kernels, *sorted(core)]))
        aliases = [f"-Wl,--defsym=cp_kernels_{isa}=cp_kernels_{isas[0]}" for isa in ISAS if isa not in isas]
    for target in targets:
        own = compile_one(ROOT / f"tests/fuzz/fuzz_{target}.c")
        subprocess.run([*CC, f"-fsanitize=fuzzer,{SANITIZERS}", own, *objects, *aliases, "-pthread", "-lm",
                        "-o", str(BUILD / f"fuzz_{target}")], cwd=ROOT, check=True)


def run(target: str, *args: str) -> None:
    if subprocess.run([str(BUILD / f"fuzz_{target}"), *LIMITS, *args], env=ENVIRONMENT).returncode != 0:
        sys.exit(f"{target}: a finding, see above")


def fuzz(target: str, seconds: int, runs: int, seed: int, keep: bool) -> None:
    corpus = ROOT / "tests" / "fuzz" / "corpus" / f"{target}.txt"  # a line per input
    with tempfile.TemporaryDirectory() as found, tempfile.TemporaryDirectory() as fewest:
        known = corpus.read_text(encoding="ascii").split() if corpus.exists() else []
        for i, line in enumerate(known):
            Path(found, str(i)).write_bytes(base64.b64decode(line))
        print(f"-- {target}", flush=True)
        run(target, "-runs=0", found)
        run(target, f"-max_total_time={seconds}", f"-runs={runs if runs < 0 else len(known) + runs}", f"-seed={seed}", found)
        if keep:
            run(target, "-merge=1", fewest, found)
            lines = [base64.b64encode(path.read_bytes()).decode() for path in Path(fewest).iterdir()]
            corpus.parent.mkdir(exist_ok=True)
            corpus.write_text("".join(f"{line}\n" for line in sorted(lines)), encoding="ascii")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int)
    parser.add_argument("--runs", type=int, default=-1)
    parser.add_argument("--seed", type=int, default=0)  # 0: another one every time
    parser.add_argument("--isa", default="scalar,avx2")
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--built", action="store_true")
    parser.add_argument("targets", nargs="*", default=["pool", "norm"])
    args = parser.parse_args()
    seconds = args.seconds or (10 if args.runs < 0 else 0)
    build(args.targets, args.isa.split(","), args.built)
    for target in args.targets:
        fuzz(target, seconds, args.runs, args.seed, args.keep)


if __name__ == "__main__":
    main()
