"""The trainer's classifier beside TF-IDF with a linear model, on the same splits of public data.

Run as `python -m benchmarks.classifier`. The data are the names of shops, restaurants and banks
around the world with the category that OpenStreetMap gives them, of name-suggestion-index (BSD
licence, from the npm registry). No public set of labelled bank transactions can be had from the
package registries. So there are three sets:

- `names`: each name once: what the classifier makes of merchants that it has never seen;
- `bookings`: names drawn by how often they are in OpenStreetMap, written as statements write
  them: capitals, cut off, with a town, a number or a payment service before them (synthetic);
- `generated`: the project's own synthetic transactions, with type, amount and day.

Each baseline has TF-IDF of the description's words (scikit-learn's defaults), the type one-hot, and
its C tuned by cross-validation.
"""

from __future__ import annotations

import json
import random
import subprocess
import tarfile
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from statistics import mean
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import typer
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from sklearn.svm import LinearSVC

from benchmarks.machine import describe_machine
from benchmarks.report import Target, finish, show_table
from transak_drift.local.classifier import Rows, fit_classifier
from transak_drift.local.transaction_generator import GeneratorSettings, generate_day

PACKAGE = "name-suggestion-index@8.0.20260918"
OURS, SVC, LOGISTIC = "transak_drift", "TF-IDF + LinearSVC", "TF-IDF + logistic regression"
_MIN_NAMES = 100
_TOWNS = [
    "ZUERICH",
    "BERN",
    "BASEL",
    "GENEVE",
    "LUZERN",
    "WIEN",
    "GRAZ",
    "LINZ",
    "SALZBURG",
    "LONDON",
    "PARIS",
    "MILANO",
]
_SERVICES = ("SumUp *", "PAYPAL *", "TWINT ", "POS ")


@dataclass(frozen=True, slots=True)
class Named:
    """A name, its category, and how often OpenStreetMap has it (0 where it does not tell)."""

    name: str
    category: str
    count: int


def main(
    rows: Annotated[int, typer.Option(help="Rows of bookings and generated.")] = 12_000,
    seeds: Annotated[int, typer.Option(min=1)] = 3,
    store: Annotated[bool, typer.Option(help="Write benchmarks/results.")] = True,
) -> None:
    """Measure macro F1 and seconds."""
    machine = describe_machine("scikit-learn", "numpy")
    by_set: dict[str, Callable[[int], tuple[Rows, Rows]]] = {
        "generated": lambda seed: _generated(rows, seed)
    }
    with tempfile.TemporaryDirectory(prefix="transak-drift-benchmark-") as directory:
        try:
            names, counted = _download(Path(directory))
        except (OSError, subprocess.CalledProcessError) as error:
            typer.echo(f"names and bookings were skipped: {PACKAGE} cannot be had: {error}")
        else:
            by_set["names"] = lambda _: _as_rows([(item.name, item.category) for item in names])
            by_set["bookings"] = lambda seed: _as_rows(_bookings(counted, rows, seed))
    figures, targets = {}, []
    for name, make in by_set.items():
        found = [_measure(*make(seed), seed) for seed in range(seeds)]
        figures[name] = found
        show_table(
            f"{name}: macro F1 on a fifth held out, seeds 0 to {seeds - 1}",
            ("", *(f"seed {seed}" for seed in range(seeds)), "mean", "seconds"),
            [
                (
                    contender,
                    *(f"{item[contender]['macro_f1']:.4f}" for item in found),
                    f"{_mean(found, contender, 'macro_f1'):.4f}",
                    f"{_mean(found, contender, 'seconds'):.1f}",
                )
                for contender in found[0]
            ],
        )
        ours = _mean(found, OURS, "macro_f1")
        for baseline in (SVC, LOGISTIC):
            difference = ours - _mean(found, baseline, "macro_f1")
            # On a set that all solve, a few rows decide which is ahead.
            targets.append(Target(f"{name}: macro F1 - {baseline}", difference, -0.003, False))
    raise typer.Exit(finish("classifier", machine, figures, targets, store=store))


def _mean(found: list[dict[str, Any]], contender: str, figure: str) -> float:
    return mean(item[contender][figure] for item in found)


def _measure(rows: Rows, labels: Rows, seed: int) -> dict[str, dict[str, float]]:
    """Fit all contenders on four fifths of the rows, and score them on the rest."""
    training, held_out, known, truth = train_test_split(
        rows, labels, test_size=0.2, random_state=seed, stratify=labels
    )

    def ours() -> Any:
        return fit_classifier(training, known, seed, 5, lambda _: None)[0]

    def baseline(model: Any, values: list[float]) -> Any:
        features = ColumnTransformer(
            [
                ("description", TfidfVectorizer(), 0),
                ("type", OneHotEncoder(handle_unknown="ignore"), [1]),
            ]
        )
        name = type(model).__name__.lower()
        grid = {f"{name}__C": values}
        search = GridSearchCV(make_pipeline(features, model), grid, scoring="f1_macro", cv=3)
        return search.fit(training, known)

    found = {}
    for contender, fit in (
        (OURS, ours),
        (SVC, lambda: baseline(LinearSVC(), [0.1, 1, 10])),
        (LOGISTIC, lambda: baseline(LogisticRegression(max_iter=300, tol=1e-3), [1, 10, 100])),
    ):
        started = time.perf_counter()
        model = fit()
        seconds = time.perf_counter() - started
        macro_f1 = float(f1_score(truth, model.predict(held_out), average="macro"))
        found[contender] = {"macro_f1": macro_f1, "seconds": seconds}
    return found


def _download(directory: Path) -> tuple[list[Named], list[Named]]:
    """Return each name of the package, and those whose frequency it tells."""
    command = ["npm", "pack", PACKAGE, "--silent", "--pack-destination", str(directory)]
    subprocess.run(command, check=True, capture_output=True)
    [archive] = directory.glob("*.tgz")
    with tarfile.open(archive) as package:

        def read(name: str) -> Any:
            member = package.extractfile(f"package/dist/json/{name}")
            assert member is not None
            return json.load(member)

        brands = {
            key.removeprefix("brands/"): group["items"]
            for key, group in read("nsi.min.json")["nsi"].items()
            if key.startswith("brands/")
        }
        kept = read("filtered/brands_keep.min.json")["keep"]
    names = [Named(item["displayName"], key, 0) for key in brands for item in brands[key]]
    counted = []
    for key, count in kept.items():
        category, _, name = key.partition("|")
        counted.append(Named(name.partition("~")[0], category, count))
    return _of_large_categories(names), _of_large_categories(counted)


def _of_large_categories(names: list[Named]) -> list[Named]:
    sizes = Counter(item.category for item in names)
    return [item for item in names if sizes[item.category] >= _MIN_NAMES]


def _bookings(names: list[Named], rows: int, seed: int) -> list[tuple[str, str]]:
    generator = random.Random(seed)
    # Chains with branches in every town would be most rows: the power leaves room for others.
    weights = [item.count**0.7 for item in names]
    found = []
    for item in generator.choices(names, weights, k=rows):
        text = item.name.upper() if generator.random() < 0.6 else item.name
        if generator.random() < 0.25:
            text = text[: generator.randint(8, 14)]
        if generator.random() < 0.5:
            text += f" {generator.choice(_TOWNS)}"
        if generator.random() < 0.4:
            text += f" {generator.randrange(10 ** generator.randint(3, 8))}"
        if generator.random() < 0.2:
            text = generator.choice(_SERVICES) + text
        found.append((text, item.category))
    # A category with a single row cannot be split.
    sizes = Counter(category for _, category in found)
    return [(text, category) for text, category in found if sizes[category] >= 5]


def _as_rows(named: list[tuple[str, str]]) -> tuple[Rows, Rows]:
    texts = [[name, "card", float("nan"), ""] for name, _ in named]
    return np.array(texts, dtype=object), np.array([label for _, label in named], dtype=object)


def _generated(rows: int, seed: int) -> tuple[Rows, Rows]:
    """Generate a week in whose middle the payment scheme changes."""
    first = date(2026, 5, 1)
    settings = GeneratorSettings(seed, rows // 7, drift_from=first + timedelta(days=3))
    days = [generate_day(first + timedelta(days=n), settings) for n in range(7)]
    table = pa.concat_tables(days)
    columns = [table.column(name).to_pylist() for name in ("description", "type", "amount")]
    columns.append([str(day) for day in table.column("date").to_pylist()])
    labels = table.column("category").to_pylist()
    return np.array(columns, dtype=object).T, np.array(labels, dtype=object)


if __name__ == "__main__":
    typer.run(main)
