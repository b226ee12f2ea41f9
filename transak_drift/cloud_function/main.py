"""Entry point of the Cloud Function: drift messages from Eventarc become training pipelines.

It takes the place of Dagster's sensor where Terraform's `trigger` is `cloud_function`. See
`drift_message_handler` for what it does with a message and what it cannot do without state.

Environment: TRANSAK_DRIFT_CONFIG, the configuration in the archive or the folder of several; for
tests on loopback TRANSAK_DRIFT_VERTEX_ENDPOINT and PUBSUB_EMULATOR_HOST, each `host:port`.
"""

from __future__ import annotations

import functions_framework
from cloudevents.http import CloudEvent

from transak_drift.cloud_function.cold_start import build_handler

# Read once an instance: a wrong configuration fails the deployment's health check, not a message.
_HANDLER = build_handler()


@functions_framework.cloud_event
def handle_drift_message(event: CloudEvent) -> None:
    """Settle one message; an error raised here makes Eventarc deliver it again."""
    _HANDLER.handle(event)
