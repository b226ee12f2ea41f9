"""The gcp platform: the only place that calls Vertex AI.

Not here: decisions (`trigger`, `training`) and statistics (`drift`). Imports those, `google_cloud`
and `platform`.
"""
