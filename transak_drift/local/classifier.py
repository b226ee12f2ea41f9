"""The linear classifier of transactions: its features, how it is tuned, fitted and calibrated.

What is fitted is a pipeline of scikit-learn's, NumPy's and the standard library's own parts alone,
so that Vertex AI's serving images, which have no transak_drift, load and serve it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.metrics import f1_score
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder

from transak_drift.local.dataset_files import DatasetError

# Columns of the rows that a pipeline takes: two texts, a number (NaN where missing) and a day
# (YYYY-MM-DD, "" where missing). Pipelines of earlier versions take the first two alone.
FEATURES = ("description", "type", "amount", "day")
EARLIER_FEATURES = FEATURES[:2]

# Of cross-validation. Half of the passes that a final fit has order the candidates alike.
_FOLDS, _PASSES = 3, 10
_MAX_TUNING_ROWS = 10_000
_MIN_TUNING_ROWS = 1_000
# Weights looked at in a second of processor time, by which a budget is planned.
_UPDATES_A_SECOND = 2e8
# Candidates this close in macro F1 are told apart by their log loss.
_SAME_F1 = 0.002
# Of the planned time; a busy machine must not stop a search, or it would choose otherwise.
_GUARD = 5
_MAX_REGULARISED_ROWS = 100_000
_MAX_TERMS = 200_000
_MANY_ROWS = 50_000
_CALIBRATION_SHARE = 10

Rows = npt.NDArray[np.object_]
Codes = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Scores = npt.NDArray[np.float64]
Matrix = Any  # of SciPy's sparse rows, which scikit-learn makes and takes


@dataclass(frozen=True, slots=True)
class Candidate:
    """Hyperparameters: the inverse of the regularisation, and what counts more than the rest.

    Words and word pairs weigh `words` times what character n-grams do. A row weighs the inverse of
    its label's frequency to the power `balance`.
    """

    inverse_regularisation: float
    words: float = 1
    balance: float = 0

    def __str__(self) -> str:
        rest = f"words {self.words:g}, balance {self.balance:g}"
        return f"C = {self.inverse_regularisation:g}, {rest}"


# The likeliest first: a small budget tries them in this order. The last takes no rows from the
# others: it is tried where time is left.
CANDIDATES = (
    Candidate(0.3),
    Candidate(1),
    Candidate(0.3, words=0.3),
    Candidate(0.1),
    Candidate(0.3, balance=0.5),
    Candidate(0.1, words=0.3, balance=0.5),
    Candidate(0.1, words=3),
)


@dataclass(frozen=True, slots=True)
class Tried:
    """A candidate's macro F1 and log loss (in nats) in cross-validation."""

    candidate: Candidate
    macro_f1: float
    log_loss: float
    temperature: float


@dataclass(frozen=True, slots=True)
class Tuning:
    """How the hyperparameters were chosen, on how many rows, in how much processor time."""

    chosen: Candidate
    tried: tuple[Tried, ...]
    planned: int
    rows: int
    seconds: float

    @property
    def temperature(self) -> float:
        """The softmax's, in cross-validation of what was chosen."""
        return next(item.temperature for item in self.tried if item.candidate == self.chosen)

    @property
    def stopped_early(self) -> bool:
        """Whether time ran out, so that another run might choose otherwise."""
        return len(self.tried) < self.planned

    def summary(self) -> str:
        text = (
            f"{self.chosen}, the best of {len(self.tried)} candidates in {_FOLDS}-fold "
            f"cross-validation on {self.rows:,} rows"
        )
        if self.stopped_early:
            text += (
                f"; stopped early after {self.seconds:.0f} s of processor time, {self.planned} "
                "candidates were planned: a run with more time may choose otherwise"
            )
        return text


def fit_classifier(
    rows: Rows,
    labels: Rows,
    seed: int,
    time_budget_seconds: float,
    progress: Callable[[str], None],
) -> tuple[Pipeline, Tuning]:
    """Fit a linear classifier on rows of `FEATURES`, tuned by cross-validation.

    It has one-vs-rest modified Huber losses (a support vector machine's squared hinge, but linear
    for outliers: Zhang, "Solving large scale linear prediction problems using stochastic gradient
    descent algorithms", 2004), minimised by stochastic gradient descent, over TF-IDF weights of
    words, word pairs and character n-grams, with the type, the amount's sign and magnitude and the
    weekday one-hot. Its scores become probabilities by a softmax whose
    temperature minimises the log loss on rows that the scores were not fitted on (Guo et al.,
    "On Calibration of Modern Neural Networks", 2017).

    The budget decides before the first candidate, by a fixed estimate of the work, how many
    candidates are tried on how many rows: the same rows, seed and budget give the same model. If
    the time runs out all the same, tuning stops, and `Tuning` tells.
    """
    started = time.monotonic()
    features = Pipeline([("columns", _columns()), ("features", _features())])
    matrix = features.fit_transform(rows).tocsr()
    names, codes = np.unique(labels.astype(str), return_inverse=True)
    random = np.random.default_rng(seed)
    ranks = _ranks_within_label(codes, random)
    progress(
        f"{len(names)} labels, {matrix.shape[0]:,} rows of {matrix.shape[1]:,} features, "
        f"{matrix.nnz / matrix.shape[0]:.0f} a row ({time.monotonic() - started:.0f} s)"
    )
    words = np.zeros(matrix.shape[1], dtype=bool)
    words[features[-1].output_indices_["words"]] = True
    tuning = _tune(matrix, words, codes, ranks, seed, time_budget_seconds, progress)
    progress(tuning.summary())
    weighted = _weigh_words(matrix, words, tuning.chosen)
    temperature, calibrated = tuning.temperature, None
    held_out = ranks % _CALIBRATION_SHARE == _CALIBRATION_SHARE - 1
    if tuning.rows < len(codes) and held_out.any():
        # The temperature depends on the number of rows: that of a small sample fits no large one.
        calibrated = _fit(weighted[~held_out], codes[~held_out], tuning.chosen, seed, progress)
        scores = _scores(calibrated, weighted[held_out], len(names))
        temperature, _ = _calibrate(scores, codes[held_out])
    scorer = calibrated
    if scorer is None or len(codes) < _MANY_ROWS:
        scorer = _fit(weighted, codes, tuning.chosen, seed, progress)
    scorer.coef_[:, words] *= tuning.chosen.words
    classifier = _as_softmax(scorer, names.astype(object), temperature)
    progress(f"fitted and calibrated ({time.monotonic() - started:.0f} s)")
    return Pipeline([*features.steps, ("classifier", classifier)]), tuning


def predict_probabilities(pipeline: Pipeline, rows: Rows) -> npt.NDArray[np.float64]:
    """Return probabilities of shape (rows, labels) for rows of `FEATURES`.

    A model of an earlier version gets description and type alone, which is what it learned from.
    """
    width = pipeline.n_features_in_
    if width not in (len(EARLIER_FEATURES), len(FEATURES)):
        raise DatasetError(
            f"the model takes {width} columns, but models of this version take "
            f"{', '.join(FEATURES)}",
            "use the version of transak_drift that trained it, or train another",
        )
    probabilities = pipeline.predict_proba(rows[:, :width]).astype(np.float64)
    return probabilities / probabilities.sum(axis=1, keepdims=True)


def _columns() -> Pipeline:
    """Make rows of `FEATURES` of rows without amount and day, which are then missing.

    So a model is also served with the monitored features alone. More columns are left as they are,
    which the next step refuses.
    """
    optional = len(FEATURES) - len(EARLIER_FEATURES)
    padded = {"pad_width": ((0, 0), (0, optional)), "constant_values": None}
    surplus = {"obj": slice(len(FEATURES), len(FEATURES) + optional), "axis": 1}
    return make_pipeline(
        FunctionTransformer(np.asarray, kw_args={"dtype": object}),
        FunctionTransformer(np.pad, kw_args=padded),
        FunctionTransformer(np.delete, kw_args=surplus),
    )


def _features() -> ColumnTransformer:
    description, kind, amount, day = range(len(FEATURES))
    # A text without a word is one: no vocabulary is empty, whatever the descriptions are.
    words = _weights(token_pattern=r"^\W*$|\w+", ngram_range=(1, 2))
    # An invoice's number is noise among characters, where it is marked alone (as is the beginning);
    # as a whole one that recurs, an account's for example, is a word. What strips accents here is
    # called with the lower-case text.
    mark_numbers = partial(re.sub, r"^|\b\d+\b", " # ")
    characters = _weights(analyzer="char_wb", ngram_range=(2, 4), strip_accents=mark_numbers)
    return ColumnTransformer(
        [
            ("words", words, description),
            ("characters", characters, description),
            ("type", _one_hot(), [kind]),
            ("amount", _amount_buckets(), [amount]),
            ("weekday", _weekdays(), [day]),
        ],
        # Hints beside the description: with full weight they fit chance.
        transformer_weights={"amount": 0.5, "weekday": 0.5},
        sparse_threshold=1,
    )


def _weights(**settings: Any) -> TfidfVectorizer:
    # A term of a single row counts as well: a merchant that was there once comes again.
    return TfidfVectorizer(sublinear_tf=True, max_features=_MAX_TERMS, dtype=np.float32, **settings)


def _one_hot() -> OneHotEncoder:
    return OneHotEncoder(handle_unknown="ignore", dtype=np.float32)


def _amount_buckets() -> Pipeline:
    """Encode a number by buckets of its logarithm, on either side of zero.

    The inverse hyperbolic sine is the logarithm of twice a number, with its sign. A missing number
    has a bucket of its own, the last, which tells nothing if no number was missing in training.
    """
    buckets = []
    for width in (0.5, 2.5):
        bins = np.arange(-25, 25 + width, width)
        in_buckets = FunctionTransformer(np.digitize, kw_args={"bins": bins})
        buckets.append((f"of {width:g}", make_pipeline(in_buckets, _one_hot())))
    return make_pipeline(
        # A row of CSV is served with an empty text where it has none.
        FunctionTransformer(np.ma.masked_equal, kw_args={"value": ""}),
        FunctionTransformer(np.ma.filled, kw_args={"fill_value": np.nan}),
        FunctionTransformer(np.asarray, kw_args={"dtype": np.float64}),
        FunctionTransformer(np.arcsinh),
        FeatureUnion(buckets),
    )


def _weekdays() -> Pipeline:
    """Encode a day by its weekday; a missing day is none of them."""
    masks = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
    of_weekday = [
        (mask, FunctionTransformer(np.is_busday, kw_args={"weekmask": mask})) for mask in masks
    ]
    return make_pipeline(
        FunctionTransformer(np.asarray, kw_args={"dtype": "datetime64[D]"}),
        FeatureUnion(of_weekday),
        # As sparse columns, since a matrix without any zero would be made dense.
        OneHotEncoder(
            categories=[np.array([False, True])] * len(masks), drop="first", dtype=np.float32
        ),
    )


def _ranks_within_label(codes: Codes, random: np.random.Generator) -> Codes:
    """Number the rows of each label from 0 on, in random order."""
    shuffled = random.permutation(len(codes))
    by_label = shuffled[np.argsort(codes[shuffled], kind="stable")]
    counts = np.bincount(codes)
    ranks = np.empty(len(codes), dtype=np.int64)
    ranks[by_label] = np.arange(len(codes)) - np.repeat(np.cumsum(counts) - counts, counts)
    return ranks


def _tune(
    matrix: Matrix,
    words: Mask,
    codes: Codes,
    ranks: Codes,
    seed: int,
    budget: float,
    progress: Callable[[str], None],
) -> Tuning:
    # Processor time: what else a machine does must not decide which model is chosen.
    started, classes = time.process_time(), int(codes.max()) + 1
    updates_a_row = matrix.nnz / len(codes) * classes * (_FOLDS - 1) * _PASSES
    affordable = int(budget * _UPDATES_A_SECOND / updates_a_row)
    rows_of_each = affordable // (len(CANDIDATES) - 1)
    wanted = min(len(codes), _MAX_TUNING_ROWS, max(_MIN_TUNING_ROWS, rows_of_each))
    planned = CANDIDATES[: max(1, affordable // wanted)]
    # Of each label the same share, at least a row for each fold.
    counts = np.bincount(codes)[codes]
    sample = ranks < np.maximum(_FOLDS, counts * (wanted / len(codes)))
    matrix, codes, folds = matrix[sample], codes[sample], ranks[sample] % _FOLDS
    # Each pass of each label looks at all features: those that a sample lacks would take the time.
    used = np.unique(matrix.indices)
    matrix, words = matrix[:, used], words[used]
    tried: list[Tried] = []
    for candidate in planned:
        if tried and time.process_time() - started > _GUARD * budget:
            break
        weighted = _weigh_words(matrix, words, candidate)
        scores = np.full((len(codes), classes), -np.inf)
        for fold in range(_FOLDS):
            held_out = folds == fold
            scorer = _fit(weighted[~held_out], codes[~held_out], candidate, seed, epochs=_PASSES)
            scores[held_out] = _scores(scorer, weighted[held_out], classes)
        macro_f1 = f1_score(codes, scores.argmax(axis=1), average="macro", zero_division=0.0)
        temperature, log_loss = _calibrate(scores, codes)
        tried.append(Tried(candidate, float(macro_f1), log_loss, temperature))
        progress(
            f"candidate {len(tried)} of {len(planned)} ({candidate}): macro F1 {macro_f1:.4f}, log "
            f"loss {log_loss:.4f} ({time.process_time() - started:.0f} s of processor time)"
        )
    best_f1 = max(item.macro_f1 for item in tried)
    best = min(
        (item for item in tried if item.macro_f1 >= best_f1 - _SAME_F1),
        key=lambda item: item.log_loss,
    )
    seconds = time.process_time() - started
    return Tuning(best.candidate, tuple(tried), len(planned), len(codes), seconds)


def _weigh_words(matrix: Matrix, words: Mask, candidate: Candidate) -> Matrix:
    if candidate.words == 1:
        return matrix
    weights = np.where(words, candidate.words, 1).astype(matrix.dtype)
    weighted = matrix.copy()
    weighted.data *= weights[weighted.indices]
    return weighted


def _epochs(rows: int) -> int:
    """Passes over the rows: large data need fewer."""
    return int(np.clip(250_000 // max(rows, 1), 5, 20))


def _fit(
    matrix: Matrix,
    codes: Codes,
    candidate: Candidate,
    seed: int,
    progress: Callable[[str], None] | None = None,
    epochs: int | None = None,
) -> Any:
    counts = np.bincount(codes)
    weights = (len(codes) / np.maximum(counts, 1)) ** candidate.balance
    weights = weights[codes] / weights[codes].mean()
    rows = len(codes)
    epochs = epochs or _epochs(rows)
    scorer = SGDClassifier(
        loss="modified_huber",
        # With fewer passes over more rows, a smaller one would end in steps that are too large.
        alpha=1 / (candidate.inverse_regularisation * min(rows, _MAX_REGULARISED_ROWS)),
        max_iter=epochs,
        tol=None,
        n_jobs=-1,
        random_state=np.random.RandomState(seed),
    )
    if progress is None or rows < _MANY_ROWS:
        return scorer.fit(matrix, codes, sample_weight=weights)
    for epoch in range(epochs):
        scorer.partial_fit(matrix, codes, classes=np.unique(codes), sample_weight=weights)
        progress(f"pass {epoch + 1} of {epochs} over {rows:,} rows")
    return scorer


def _scores(scorer: Any, matrix: Matrix, classes: int) -> Scores:
    """Return scores of shape (rows, classes); of a label that was not learned minus infinity."""
    found = scorer.decision_function(matrix)
    if found.ndim == 1:
        found = np.column_stack([np.zeros_like(found), found])
    scores = np.full((matrix.shape[0], classes), -np.inf)
    scores[:, scorer.classes_] = found
    return scores


def _calibrate(scores: Scores, codes: Codes) -> tuple[float, float]:
    """Return the softmax's temperature with the least log loss, and that log loss.

    Rows whose label was not learned are left out: no temperature helps them.
    """
    own = scores[np.arange(len(codes)), codes]
    scores, codes = scores[np.isfinite(own)], codes[np.isfinite(own)]

    def log_loss(temperature: float) -> float:
        scaled = scores / temperature
        greatest = scaled.max(axis=1)
        totals = np.exp(scaled - greatest[:, np.newaxis]).sum(axis=1)
        return float(np.mean(greatest + np.log(totals) - scaled[np.arange(len(codes)), codes]))

    if not len(codes):
        return 1.0, float("inf")
    # The log loss has one minimum: a tenth of a decade around it, and then a hundredth.
    coarse = min(np.logspace(-1.5, 1.5, 31), key=log_loss)
    found = min(coarse * np.logspace(-0.1, 0.1, 21), key=log_loss)
    return float(found), log_loss(found)


def _as_softmax(scorer: Any, names: Rows, temperature: float) -> LogisticRegression:
    """Return the classifier whose probabilities are the softmax of the scores."""
    classifier: Any = LogisticRegression()
    classifier.classes_ = names
    classifier.coef_ = (scorer.coef_ / temperature).astype(np.float32)
    classifier.intercept_ = (scorer.intercept_ / temperature).astype(np.float32)
    classifier.n_features_in_ = scorer.n_features_in_
    classifier.n_iter_ = np.array([scorer.n_iter_], dtype=np.int32)
    return classifier
