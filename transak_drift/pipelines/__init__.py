"""KFP components and pipelines: predict, with monitoring at its end, and the reference training.

Not here: launching them (`vertex`). Imports `config`, `drift`, `training`, `vertex` and `local`.
"""
