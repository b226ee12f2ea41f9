"""What Dagster shows: assets, checks, jobs, schedules, sensors and resources, thin.

Not here: statistics, parsing and decisions (`drift`, `trigger`, `training`), and calls of Google
or of local files (`vertex`, `pubsub`, `local`). Imports every package but `cli`.
"""
