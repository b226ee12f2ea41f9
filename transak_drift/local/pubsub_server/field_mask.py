"""Changes to a resource by a field mask of top-level fields, as the update methods take it.

Source: AIP-134 and AIP-161 (field masks); the texts of the errors follow Google's emulator.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

# The class is made when the module is imported, so that type checkers do not see it.
from google.protobuf.field_mask_pb2 import FieldMask  # ty: ignore[missing-module-member]
from google.protobuf.message import Message

from transak_drift.local.pubsub_server.errors import invalid_argument


def merge_fields(
    present: Message, change: Message, paths: Sequence[str], mutable: Collection[str]
) -> None:
    """Take the fields named by `paths` from `change` into `present`.

    A field that `change` does not have is cleared; a message, list or map is replaced whole.

    Args:
        present: the resource as it is, changed in place.
        change: the resource of the update request, of the same type.
        paths: names of top-level fields.
        mutable: the names that may be changed.

    Raises:
        PubSubError: INVALID_ARGUMENT: the mask is empty, or a path is unknown or not mutable.
    """
    descriptor = type(present).DESCRIPTOR
    if descriptor is None:
        raise TypeError(f"{type(present).__name__} is no generated message")
    resource = descriptor.name
    if not paths:
        raise invalid_argument(
            f"The update_mask in the Update{resource}Request must be set, and must contain a "
            "non-empty paths list."
        )
    problem = f"Invalid update_mask provided in the Update{resource}Request"
    known = {field.name for field in descriptor.fields}
    for path in paths:
        if path not in known:
            raise invalid_argument(
                f"{problem}: {path} is not a known {resource} field. Note that field paths must "
                "be of the form 'message_retention_duration' rather than "
                "'messageRetentionDuration'."
            )
        if path not in mutable:
            raise invalid_argument(
                f"{problem}: the {path} field in the {resource} is not mutable. Mutable are: "
                f"{', '.join(sorted(mutable))}."
            )
    FieldMask(paths=list(paths)).MergeMessage(change, present, True, True)
