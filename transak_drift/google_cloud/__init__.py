"""What every Google API shares: credentials, a REST session, the project and its log sinks.

Not here: Vertex AI (`vertex`) and Pub/Sub (`pubsub`). Imports `config`, `trigger` and `platform`.
"""
