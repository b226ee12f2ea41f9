"""Refusals, as the API words them."""

from __future__ import annotations

import grpc


class RefusedError(Exception):
    """A call that is answered with a status code."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        self.code = code
        self.message = message
        super().__init__(message)


def not_found(name: str) -> RefusedError:
    """The resource does not exist."""
    return RefusedError(grpc.StatusCode.NOT_FOUND, f"The resource {name} is not found.")


def already_exists(name: str) -> RefusedError:
    """The id is taken."""
    return RefusedError(grpc.StatusCode.ALREADY_EXISTS, f"The resource {name} already exists.")


def invalid(message: str) -> RefusedError:
    """The request breaks a rule of the API."""
    return RefusedError(grpc.StatusCode.INVALID_ARGUMENT, message)


def permission_denied(permission: str, resource: str) -> RefusedError:
    """The caller lacks a permission."""
    return RefusedError(
        grpc.StatusCode.PERMISSION_DENIED,
        f"Permission '{permission}' denied on resource '//aiplatform.googleapis.com/{resource}' "
        "(or it may not exist).",
    )
