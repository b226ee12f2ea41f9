"""The lock by which a server knows whether it still has users.

Each user holds a shared `flock` on the users file; the kernel releases it when the process ends,
however it ends. The server asks for the exclusive lock: it gets it when there is no user left.
"""

from __future__ import annotations

import fcntl
import os
import threading
from pathlib import Path

_CHECKS_IN_GRACE_PERIOD = 10


def hold_users_lock(users_file: Path) -> int:
    """Take the shared lock and return its file descriptor; closing that gives the lock back.

    It waits while a server that has decided to end still runs, so that whoever holds the lock
    finds either a server that stays or none.
    """
    descriptor = os.open(users_file, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def wait_until_unused(users_file: Path, grace_seconds: float) -> int:
    """Wait until nobody has held the users lock for a while, and take it exclusively.

    Args:
        users_file: the file that users lock.
        grace_seconds: how long the lock has to be free without a break.

    Returns:
        The descriptor of the exclusive lock. It is to be kept until the process ends: new users
        wait for it.
    """
    descriptor = os.open(users_file, os.O_RDWR | os.O_CREAT, 0o600)
    pause = threading.Event()
    while True:
        # Sleeps in the kernel as long as there is a user.
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        for _ in range(_CHECKS_IN_GRACE_PERIOD):
            fcntl.flock(descriptor, fcntl.LOCK_UN)
            pause.wait(grace_seconds / _CHECKS_IN_GRACE_PERIOD)
            if not _try_exclusive(descriptor):
                break
        else:
            return descriptor


def _try_exclusive(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
