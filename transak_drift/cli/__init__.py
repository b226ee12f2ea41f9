"""The command `transak-drift`, one module a command.

Not here: anything that a sensor or an asset needs too. Imports every package.
"""
