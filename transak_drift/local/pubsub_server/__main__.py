"""`python -m transak_drift.local.pubsub_server`: runs the embedded Pub/Sub server.

Exit status: 0 after an orderly end, 75 (EX_TEMPFAIL) when another process serves the data file.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from pathlib import Path

from filelock import Timeout

from transak_drift.local.pubsub_server.server import run_server


def main() -> int:
    """Run the server until it has no users or is told to stop."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-file", type=Path, required=True)
    parser.add_argument("--port-file", type=Path, required=True)
    parser.add_argument("--users-file", type=Path)
    parser.add_argument("--grace-seconds", type=float, default=15.0)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        run_server(**vars(options))
    except Timeout:
        logging.getLogger(__name__).info("another process serves %s", options.data_file)
        return os.EX_TEMPFAIL
    return os.EX_OK


if __name__ == "__main__":
    sys.exit(main())
