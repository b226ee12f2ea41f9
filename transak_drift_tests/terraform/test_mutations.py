"""A mistake put into any .tf file is found."""

from __future__ import annotations

import json

import pytest

from transak_drift_tests.terraform.configuration_check import faults
from transak_drift_tests.terraform.extract_provider_schema import SCHEMA_FILE
from transak_drift_tests.terraform.hcl_files import Block, parse, terraform_files
from transak_drift_tests.terraform.mutations import Mutation, mutations, top_level_blocks

SCHEMA = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
FILES = terraform_files()


def _is_found(mutation: Mutation) -> bool:
    try:
        mutated = parse({mutation.file: mutation.mutated})
    except ValueError:
        return True
    return bool(faults([*_rest(mutation), *mutated], SCHEMA))


def _rest(mutation: Mutation) -> list[Block]:
    return [
        block
        for file, text in FILES.items()
        for part in top_level_blocks(text)
        if (file, part) != (mutation.file, mutation.original)
        for block in PARSED[file, part]
    ]


PARSED = {
    (file, part): parse({file: part})
    for file, text in FILES.items()
    for part in top_level_blocks(text)
}


def test_the_parts_are_the_whole() -> None:
    assert sum(len(blocks) for blocks in PARSED.values()) == len(parse(FILES))
    assert faults([block for blocks in PARSED.values() for block in blocks], SCHEMA) == []


@pytest.mark.parametrize("file", FILES)
def test_every_mistake_in_the_file_is_found(file: str) -> None:
    made = list(mutations(file, FILES[file], SCHEMA))
    assert len(made) >= 3
    assert [str(mutation) for mutation in made if not _is_found(mutation)] == []
