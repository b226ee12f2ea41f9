"""A small, durable Pub/Sub server for one machine: google.pubsub.v1 over gRPC, SQLite underneath.

The real google-cloud-pubsub client is used with it unchanged. It listens on loopback only and knows
no users: whoever may connect to the port may read and write.

Supported: topics and pull subscriptions (create, get, list, delete), Publish, Pull, Acknowledge,
ModifyAckDeadline, dead-letter policies and message retention. Every other method and setting is
refused with UNIMPLEMENTED, never ignored. Imports nothing of the product.
"""
