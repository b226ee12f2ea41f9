"""A server of Vertex AI's own protos on loopback, with the API's rules, for tests.

There is no Google Cloud account here. The real client libraries talk to this server over a real
socket; what it answers follows the API's reference: long-running operations, ids, update masks,
pages, and the status codes. A monitoring job computes real statistics on real files.
"""
