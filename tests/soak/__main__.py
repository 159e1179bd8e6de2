"""`python -m tests.soak --seconds 600 --mode tracking`: the exit code is 1 if a promise was broken."""

import argparse
import random
import sys

import msgspec

from tests.soak.run import Soak
from tests.support.servers import FLAVOURS


def main() -> int:
    """Run a soak, print its summary."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--mode", choices=("keyspace", "tracking"), default="keyspace")
    parser.add_argument("--flavour", choices=FLAVOURS, default="valkey")
    parser.add_argument("--cluster", action="store_true", help="three primaries with a replica each, and their faults")
    parser.add_argument("--seed", type=int, default=random.randrange(2**32), help="of faults and readers' choices")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")
    chosen = parser.parse_args()
    print(f"seed {chosen.seed}", file=sys.stderr, flush=True)
    how = {"mode": chosen.mode, "flavour": chosen.flavour, "seed": chosen.seed, "cluster": chosen.cluster}
    summary = Soak(chosen.seconds, **how).run()
    print(msgspec.json.format(msgspec.json.encode(summary)).decode() if chosen.json else summary)
    return 0 if summary.passed else 1


if __name__ == "__main__":
    sys.exit(main())
