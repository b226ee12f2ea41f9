"""From a message to a decision, without I/O: message, monitoring job, drift event, retrain policy.

Not here: Pub/Sub (`pubsub`), the sensor (`defs`), and what a training does (`training`). Imports
`config`, `drift` and `platform`.
"""
