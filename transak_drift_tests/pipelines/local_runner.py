"""KFP's local runner: a component runs as the process that its container would start."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from kfp import local
from kfp.local.config import LocalExecutionConfig


@contextmanager
def local_runner(pipeline_root: Path) -> Generator[None]:
    """Run components that are called within the block, in this environment.

    Args:
        pipeline_root: directory for what the components put out.
    """
    former = LocalExecutionConfig.instance
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(pipeline_root))
    try:
        yield
    finally:
        LocalExecutionConfig.instance = former
