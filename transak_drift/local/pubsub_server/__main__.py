"""`python -m transak_drift.local.pubsub_server`: runs the embedded Pub/Sub server."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from pathlib import Path

from filelock import Timeout

from transak_drift.local.pubsub_server.server import ServerOptions, run_server


def main(arguments: list[str] | None = None) -> int:
    """Run the server until it is told to stop.

    Args:
        arguments: the command line without the program's name, None: this process's.

    Returns:
        Exit status: 0 after an orderly end, 75 (EX_TEMPFAIL) when another process serves the data
        file.
    """
    parser = argparse.ArgumentParser(
        prog="python -m transak_drift.local.pubsub_server", description=__doc__
    )
    parser.add_argument(
        "--data-file", type=Path, required=True, help="SQLite file, created when missing"
    )
    parser.add_argument(
        "--port-file",
        type=Path,
        required=True,
        help="file to record the port in; the port recorded there is taken again if free",
    )
    parser.add_argument(
        "--users-file",
        type=Path,
        help="file that users hold a shared flock on; without it the server runs until stopped",
    )
    parser.add_argument(
        "--grace-seconds", type=float, default=15.0, help="how long to stay without users"
    )
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        run_server(
            ServerOptions(
                data_file=options.data_file,
                port_file=options.port_file,
                users_file=options.users_file,
                grace_seconds=options.grace_seconds,
            )
        )
    except Timeout:
        logging.getLogger(__name__).info("another process serves %s", options.data_file)
        return os.EX_TEMPFAIL
    return os.EX_OK


if __name__ == "__main__":
    sys.exit(main())
