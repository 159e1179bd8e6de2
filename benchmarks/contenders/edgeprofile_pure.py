"""EdgeProfile without its compiled part, as it is where no C compiler was."""

import os

from benchmarks.contenders.edgeprofile import DISTRIBUTIONS, REQUIRES, bound, hit
from benchmarks.protocol import serve

__all__ = ["DISTRIBUTIONS", "REQUIRES", "TITLE"]

TITLE = "edgeprofile, pure Python"

if __name__ == "__main__":
    os.environ["EDGEPROFILE_NO_EXTENSIONS"] = "1"  # the tasks import it
    serve(DISTRIBUTIONS, hit=hit, bound=bound)
