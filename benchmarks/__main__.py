"""The command line: ``python -m benchmarks pool``, ``norm`` and ``literature``."""

import argparse
import os
import sys

import cpool
from benchmarks import literature, norm, pool
from benchmarks.harness import Rounds


def main(args: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Times cpool; see docs/PERFORMANCE.md.")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, run in (("pool", pool.run), ("norm", norm.run), ("literature", literature.run)):
        command = commands.add_parser(name, help=run.__doc__)
        command.set_defaults(run=run)
        command.add_argument("--only", metavar="PATTERN", default="", help="regular expression that names of rows must contain")
        command.add_argument("--quick", action="store_true", help="few and very short rounds: to see that it runs")
        command.add_argument("--rounds", type=int, default=Rounds().count, metavar="N",
                             help="how often every contestant has its turn (default: %(default)s); more where others compute")
        command.add_argument("--check", action="store_true", help="also print every target with the worst case measured")
        command.add_argument("--threads", type=int, default=1, metavar="N", help="threads of everything (default: 1)")
        command.add_argument("--isa", choices=cpool.isas(), default=cpool.isa(), metavar="NAME",
                             help=f"instruction set of cpool: {', '.join(cpool.isas())} (default: %(default)s)")
    options = parser.parse_args(args)
    if options.rounds < 1:
        parser.error(f"--rounds {options.rounds} must be at least 1")
    available = len(os.sched_getaffinity(0))
    if not 1 <= options.threads <= available:
        parser.error(f"--threads {options.threads} must be from 1 to {available}, the CPUs this process may use")
    with cpool.num_threads(options.threads), cpool.using_isa(options.isa):
        options.run(options)


if __name__ == "__main__":
    main(sys.argv[1:])
