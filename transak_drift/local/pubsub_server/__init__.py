"""A small, durable Pub/Sub server for one machine: google.pubsub.v1 over gRPC, SQLite underneath.

It speaks the protocol of Cloud Pub/Sub's `Publisher` and `Subscriber` services, so that the real
google-cloud-pubsub client is used with it unchanged. It listens on loopback only and knows no
users: whoever may connect to the port may read and write.

Supported: topics, pull subscriptions, publishing, Pull, StreamingPull, acknowledgement, ack
deadlines, retry policies, dead-letter policies, message retention and Seek to a time. What it does
not support (filters, message ordering, push, exports, snapshots, retained acknowledged messages) it
refuses with UNIMPLEMENTED, never silently.
"""
