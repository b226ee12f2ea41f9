"""The local platform: rows, statistics, trainer, model registry, and the embedded Pub/Sub server.

The same work as on Google Cloud on one machine. Not here: decisions (`trigger`, `training`) and
formulas (`drift`). Imports those and `platform`.
"""
