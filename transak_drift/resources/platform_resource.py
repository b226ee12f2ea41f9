"""The platform as a Dagster resource: the same key `platform` for local and gcp."""

from __future__ import annotations

from abc import ABC, abstractmethod

import dagster as dg

from transak_drift.platforms.interface import DriftPlatform


class PlatformResource(dg.ConfigurableResource, ABC):
    """A platform; assets know no more of it than `DriftPlatform`."""

    @abstractmethod
    def open(self) -> DriftPlatform:
        """Return the platform, ready for use."""
