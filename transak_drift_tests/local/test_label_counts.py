"""Labels counted in files, and what of them is trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from transak_drift.local.dataset_files import DatasetError
from transak_drift.local.label_counts import count_labels, require_labels
from transak_drift.local.platform import LocalPlatform
from transak_drift.local.state_directory import StateDirectory
from transak_drift.local.trainer import read_labelled_rows
from transak_drift.local.transaction_generator import GeneratorSettings
from transak_drift.platform import TrainingRequest
from transak_drift_tests.config.configurations import configuration

CONFIG = configuration()
ROWS = [
    ("Migros", "food"),
    ("Migros", "food"),
    ("SBB", "travel"),
    ("MGB", None),
    ("MGB", ""),
    ("MGB", "  "),
    ("Kiosk", "\t\u00a0 "),
    (None, None),
]
PARQUET, CSV = "rows.parquet", "rows.csv"


def write(path: Path, columns: Mapping[str, list[Any]]) -> Path:
    if path.suffix == ".parquet":
        pq.write_table(pa.table(dict(columns)), path)
        return path
    lines = [",".join(columns)]
    lines += [
        ",".join("" if cell is None else str(cell) for cell in row)
        for row in zip(*columns.values(), strict=True)
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def columns_of(rows: Sequence[tuple[str | None, str | None]]) -> dict[str, list[Any]]:
    texts, labels = zip(*rows, strict=True)
    return {"description": [*texts], "type": ["card"] * len(rows), "category": [*labels]}


@pytest.mark.parametrize("name", [PARQUET, CSV])
def test_null_empty_and_blank_are_no_labels_in_any_file(tmp_path: Path, name: str) -> None:
    found = count_labels(write(tmp_path / name, columns_of(ROWS)), CONFIG)
    assert (found.rows, found.labelled, found.by_label) == (8, 3, {"food": 2, "travel": 1})
    assert found.without_label == (("MGB", 3), ("", 1), ("Kiosk", 1))
    assert (found.value_column, found.has_column) == ("description", True)


def test_labels_and_values_of_other_types_are_their_canonical_texts(tmp_path: Path) -> None:
    columns = {"description": [7.0, 7.0, 8.5], "category": [1.0, None, 2.0]}
    found = count_labels(write(tmp_path / PARQUET, columns), CONFIG)
    assert found.by_label == {"1": 1, "2": 1}
    assert found.without_label == (("7", 1),)


@pytest.mark.parametrize("name", [PARQUET, CSV])
def test_without_the_column_every_row_lacks_a_label(tmp_path: Path, name: str) -> None:
    columns = columns_of(ROWS)
    del columns["category"], columns["description"]
    found = count_labels(write(tmp_path / name, columns), CONFIG)
    assert (found.rows, found.labelled, found.has_column) == (8, 0, False)
    assert (found.value_column, found.without_label) == ("type", (("card", 8),))


def test_nested_labels_are_refused_with_a_fix(tmp_path: Path) -> None:
    file = write(tmp_path / PARQUET, {"description": ["a"], "category": [["x"]]})
    with pytest.raises(DatasetError, match=r"several values in a row.*fix"):
        count_labels(file, CONFIG)


def test_what_is_not_labelled_enough_is_not_trained_on(tmp_path: Path) -> None:
    file = write(tmp_path / CSV, columns_of(ROWS))
    assert require_labels(file, CONFIG, ["food"]) is None
    asked = configuration(labels={"minimum_share": 0.3})
    with pytest.raises(DatasetError, match=r"too few labels .*not know: 'travel' \(1\).*fix"):
        require_labels(file, asked, ["food"])
    verdict = require_labels(file, asked, ["food", "travel"])
    assert verdict is not None and verdict.labelled == 3


def test_no_blank_label_is_learned(tmp_path: Path) -> None:
    file = write(tmp_path / PARQUET, columns_of(ROWS * 5))
    found = read_labelled_rows([file], "category", seed=0)
    learned = [*found.training[:, -1], *(label for rows in found.held_out for label in rows[:, -1])]
    assert sorted(learned) == ["food"] * 10 + ["travel"] * 5
    assert found.without_label == 25


def write_days(directory: Path, days: int, lacking: str) -> None:
    directory.mkdir(exist_ok=True)
    for number in range(1, days + 1):
        rows = [("Migros", "food"), ("SBB", "travel")] * 40
        if number == days:
            rows += [("MGB", lacking)] * 60
        write(directory / f"2026-05-0{number}.csv", columns_of(rows))


def test_the_own_baseline_stays_what_it_is_beside_days_of_one_file(tmp_path: Path) -> None:
    source = tmp_path / "data"
    source.mkdir()
    write(source / "baseline.csv", columns_of([("Migros", "food"), ("SBB", "travel")] * 40))
    days = columns_of([("Migros", "food")] * 60 + [("MGB", "travel")] * 60)
    write(source / "days.csv", {**days, "date": ["2026-05-01"] * 20 + ["2026-05-02"] * 100})
    config = configuration(
        transactions=str(source),
        start_date="2026-05-02",
        drift_thresholds={"description": 0.3},
        labels={},
    )
    platform = LocalPlatform(tmp_path / "state", GeneratorSettings(), lambda *_: "")
    platform.ensure_registered_model(config)
    before = config.windows.parse("2026-05-01")
    request = TrainingRequest(None, config.windows.end_of(date(2026, 5, 2)))
    platform.train(config, request, lambda _: None)
    kept = StateDirectory(tmp_path / "state", config).transactions(before)
    assert pq.read_metadata(kept).num_rows == 80


def test_a_training_refuses_a_window_that_lacks_labels_and_reads_those_that_came_late(
    tmp_path: Path,
) -> None:
    write_days(tmp_path / "days", 3, lacking="")
    config = configuration(
        transactions=str(tmp_path / "days"),
        start_date="2026-05-02",
        drift_thresholds={"description": 0.3},
        labels={},
    )
    platform = LocalPlatform(tmp_path / "state", GeneratorSettings(), lambda *_: "")
    platform.ensure_registered_model(config)
    drifted = config.windows.parse("2026-05-03")
    platform.land_transactions(config, drifted)
    state, found = platform.label_state(config, drifted), platform.count_labels(config, drifted)
    assert (found.rows, found.labelled, found.without_label) == (140, 80, (("MGB", 60),))
    assert found.champion_classes == ("food", "travel")
    request = TrainingRequest("event", config.windows.end_of(drifted.last_day))
    with pytest.raises(DatasetError, match=r"80 of 140 rows .*'MGB' \(60\)"):
        platform.train(config, request, lambda _: None)
    assert len(platform.overview(config).model_versions) == 1

    assert platform.label_state(config, drifted) == state
    write_days(tmp_path / "days", 3, lacking="travel")
    assert platform.label_state(config, drifted) != state
    assert platform.count_labels(config, drifted).labelled == 140
    said: list[str] = []
    result = platform.train(config, request, said.append)
    assert result.promoted
    assert any("2026-05-03: 140 of 140 rows have a label" in text for text in said)
    # What has no file any longer is what was kept of it.
    (tmp_path / "days" / "2026-05-03.csv").unlink()
    assert platform.count_labels(config, drifted).labelled == 140
