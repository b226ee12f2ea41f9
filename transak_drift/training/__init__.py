"""Decisions about a training, without I/O: its fresh windows, and the promotion.

Not here: whether a drift event trains at all (`trigger`), and the training itself (`local`,
`vertex`, `pipelines`). Imports `config` and `drift`.
"""
