"""Images and packages of the pipelines' steps, pinned."""

from __future__ import annotations

from importlib.metadata import version

# Docker takes the digest; the tag before it is for people.
PYTHON_IMAGE = (
    "python:3.12.12-slim-bookworm"
    "@sha256:593bd06efe90efa80dc4eee3948be7c0fde4134606dd40d8dd8dbcade98e669c"
)

# Google Cloud Pipeline Components, whose releases are the image's tags.
GOOGLE_CLOUD_IMAGE = "gcr.io/ml-pipeline/google-cloud-pipeline-components:2.22.0"


def pinned(*packages: str) -> list[str]:
    """Pin packages to the versions that are installed here, which are those the tests ran with.

    Args:
        packages: names of distributions.

    Returns:
        One requirement `name==version` for each.

    Raises:
        importlib.metadata.PackageNotFoundError: one is not installed.
    """
    return [f"{package}=={version(package)}" for package in packages]
