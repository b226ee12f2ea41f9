"""What Dagster loads: `TRANSAK_DRIFT_PLATFORM` picks the platform, everything else is shared."""

from __future__ import annotations

import gc
import sys

import dagster as dg

from transak_drift.assemble import assemble_definitions
from transak_drift.config.errors import ConfigError
from transak_drift.settings import load_settings

try:
    _settings = load_settings()
    defs: dg.Definitions = assemble_definitions(_settings, _settings.load_configs())
except ConfigError:
    # The error says what to mend; the frames of the loader would only hide it.
    sys.tracebacklimit = 0
    raise

# What loading made lives as long as the process; a burst of messages would have it looked through
# at each full collection.
gc.collect()
gc.freeze()
