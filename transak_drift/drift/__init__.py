"""Drift, without I/O: distances, histograms, results of monitoring runs, drift events, episodes.

Here belongs what can be computed from numbers. Not here: reading rows (`local`), asking Vertex AI
(`vertex`), and what follows from drift (`trigger`). Imports `config`.
"""
