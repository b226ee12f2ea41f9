"""The only place that calls Pub/Sub: the trigger queue and its dead letters.

Not here: what a message means (`trigger`). Imports `config`, `trigger`, `platform` and
`google_cloud`.
"""
