"""`monitoring_config.json`: its schema, loading, errors, and the resource names made of it.

Here belongs what a configuration says and how a wrong one is reported. Not here: environment
variables (`settings.py`), and what is done with the configuration. Imports nothing else of ours.
"""
