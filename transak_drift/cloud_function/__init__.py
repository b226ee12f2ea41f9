"""The trigger for those who run no Dagster.

Not here: its deployment (`terraform/`). Imports `config`, `drift`, `platform`, `trigger`,
`vertex` and `pubsub`.
"""
