"""The command `transak-drift`: `main.py` says which module has which of its commands.

Not here: anything that a sensor or an asset needs too. Imports every package.
"""
