"""`python -m transak_drift.local.pubsub_server DATA_FILE PORT_FILE USERS_FILE GRACE_SECONDS`.

Exit status: 0 after an orderly end, 75 (EX_TEMPFAIL) when another process serves the data file.
"""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

from filelock import Timeout

from transak_drift.local.pubsub_server.server import run_server


def main(data_file: str, port_file: str, users_file: str, grace_seconds: str) -> int:
    """Run the server until it has no users or is told to stop."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        run_server(Path(data_file), Path(port_file), Path(users_file), float(grace_seconds))
    except Timeout:
        logging.getLogger(__name__).info("another process serves %s", data_file)
        return os.EX_TEMPFAIL
    return os.EX_OK


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
