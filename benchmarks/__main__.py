"""Run the benchmarks: ``python -m benchmarks [--all]``, and print what each one finds.

Real data is read from beside the repository; where it is absent, what needs it is left out by name.
Timings are only comparable within one run on one machine.
"""

import argparse
import runpy
import sys

from benchmarks.cases import shared

QUICK = ("benchmarks.gradient", "benchmarks.accounting", "benchmarks.double_entry")
LONG = (
    "benchmarks.imem31",
    "benchmarks.outlier",
    "benchmarks.rampazzo",
    "benchmarks.search_index",
    "benchmarks.meta_flows",
    "benchmarks.eu_stocks",
    "benchmarks.stock_bridge",
    "benchmarks.samplers",
    "benchmarks.scale",
    "benchmarks.agreement",
    "benchmarks.coverage",
    "benchmarks.sbc",
    "benchmarks.displacement",
)
NEEDS_DATA = {
    f"benchmarks.{name}"
    for name in (
        "accounting", "double_entry", "imem31", "outlier", "rampazzo", "search_index",
        "meta_flows", "eu_stocks", "stock_bridge", "displacement",
    )
}  # fmt: skip


def main() -> None:
    """Run the quick benchmarks, or with --all the long ones too."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--all", action="store_true", help="the long ones too (hours)")
    chosen = (*QUICK, *LONG) if parser.parse_args().all else QUICK
    present = shared().is_dir()
    for name in chosen:
        print(f"\n=== {name}", flush=True)
        if name in NEEDS_DATA and not present:
            print(f"left out: no folder of real data at {shared()}")
            continue
        sys.argv = [name]
        runpy.run_module(name, run_name="__main__")


if __name__ == "__main__":
    main()
