"""Moved to `recorded_reports`; kept until its last importer has followed."""

from transak_drift.defs.recorded_reports import check_result, report_metadata

__all__ = ["check_result", "report_metadata"]
