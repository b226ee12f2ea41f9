"""The errors that the server answers with, as gRPC status codes."""

from __future__ import annotations

import grpc


class PubSubError(Exception):
    """A request that is answered with a gRPC error status.

    Args:
        code: status code of the answer.
        message: text of the answer, for the caller.
    """

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def invalid_argument(message: str) -> PubSubError:
    """Return the error of a request that can never succeed."""
    return PubSubError(grpc.StatusCode.INVALID_ARGUMENT, message)


def not_found(message: str) -> PubSubError:
    """Return the error of a request that names a resource which does not exist."""
    return PubSubError(grpc.StatusCode.NOT_FOUND, message)


def already_exists(message: str) -> PubSubError:
    """Return the error of a creation under a name that is taken."""
    return PubSubError(grpc.StatusCode.ALREADY_EXISTS, message)


def out_of_range(message: str) -> PubSubError:
    """Return the error of a number outside its documented range."""
    return PubSubError(grpc.StatusCode.OUT_OF_RANGE, message)


def unimplemented(feature: str) -> PubSubError:
    """Return the error of a request for a feature that this server does not have."""
    return PubSubError(
        grpc.StatusCode.UNIMPLEMENTED,
        f"The embedded Pub/Sub server does not support {feature}. Leave it out, or use Cloud "
        "Pub/Sub or Google's emulator (set PUBSUB_EMULATOR_HOST).",
    )
