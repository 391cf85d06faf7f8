"""Another scheme's single label, measured: ``python -m training.contest --run RUN --train T --data D --report R``.

Two readers whose probabilities are averaged: the topic head of a run fitted with ``--topics T``, and a linear model
over words and characters. The files are ``{"text", "label"}`` in JSON lines; words may be set apart by blanks.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jieba
import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track
from sklearn.calibration import CalibratedClassifierCV
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import classification_report, f1_score
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.svm import LinearSVC

from data.complaint import LabelledComplaint
from data.policy_files import load_policy
from models.multitask import TriageModel
from models.tokens import ComplaintTokenizer
from training.examples import Collator, make_example
from training.experiment import Experiment
from training.runs import TOKENIZER, TOPICS, load_experiment, load_run
from training.topics import drop_copies, read_topics

ROUNDS = 1000
BATCH = 16


def topic_probabilities(
    model: TriageModel, rows: Sequence[LabelledComplaint], tokenizer: ComplaintTokenizer, experiment: Experiment,
    topics: Sequence[str],
) -> NDArray[np.float64]:  # fmt: skip
    """(rows, topics) of the run's topic head, each text read whole."""
    taxonomy = load_policy().taxonomy
    examples = [make_example(row, tokenizer, taxonomy, topics) for row in rows]
    collate = Collator(examples, tokenizer, experiment.windowing)
    order = sorted(range(len(rows)), key=lambda index: len(examples[index].tokens))
    found = np.zeros((len(rows), len(topics)))
    for start in track(range(0, len(order), BATCH), description="reading", transient=True):
        chosen = order[start : start + BATCH]
        with torch.no_grad():
            logits = model(**collate([{"index": index} for index in chosen]))["topic"]
        found[chosen] = torch.softmax(logits, dim=1).numpy()
    return found


def linear_reader() -> Pipeline:
    """TF-IDF over words and their characters, linear SVM with probabilities."""
    words = TfidfVectorizer(token_pattern=r"\S+", ngram_range=(1, 2), sublinear_tf=True, min_df=2)
    characters = TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 3), sublinear_tf=True, min_df=2)
    return Pipeline([
        ("features", FeatureUnion([("words", words), ("characters", characters)])),
        ("classifier", CalibratedClassifierCV(LinearSVC(C=1.0), cv=5)),
    ])  # fmt: skip


def segmented(text: str, known: frozenset[str]) -> str:
    """The words of ``text`` that the training files know, set apart by blanks: so stop words fall away here too."""
    return " ".join(word for word in jieba.lcut(text) if word in known)


def _raw(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def linear_probabilities(train: Path, data: Path) -> NDArray[np.float64]:
    """(rows, topics) of the linear reader, topics in order of name; copies of the data are left out of its training."""
    rows = drop_copies(train, data)
    known = frozenset(word for row in rows for word in row["text"].split())
    reader = linear_reader().fit([row["text"] for row in rows], [row["label"] for row in rows])
    found: NDArray[np.float64] = reader.predict_proba([segmented(row["text"], known) for row in _raw(data)])
    return found


def figures(true: Sequence[str], readers: dict[str, NDArray[np.float64]], topics: Sequence[str]) -> dict[str, Any]:
    """Macro-F1 with its bootstrap interval for every reader, and the last reader's table by topic."""
    result: dict[str, Any] = {}
    truth = np.array([topics.index(label) for label in true])
    random = np.random.default_rng(7)
    draws = [random.integers(len(truth), size=len(truth)) for _ in range(ROUNDS)]
    for name, probabilities in readers.items():
        said = probabilities.argmax(axis=1)
        scores = [f1_score(truth[d], said[d], average="macro") for d in draws]
        result[name] = {
            "macro_f1": float(f1_score(truth, said, average="macro")),
            "interval": [float(np.percentile(scores, 2.5)), float(np.percentile(scores, 97.5))],
            "by_topic": classification_report(truth, said, target_names=list(topics), output_dict=True),
        }
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--report", type=Path, required=True, help="path of the JSON to write")
    options = parser.parse_args()
    topics = json.loads((options.run / TOPICS).read_text(encoding="utf-8"))
    experiment = load_experiment(options.run)
    rows = read_topics(options.data)
    model = load_run(options.run, load_policy().taxonomy, len(topics))
    tokenizer = ComplaintTokenizer.from_file(options.run / TOKENIZER)
    encoder = topic_probabilities(model, rows, tokenizer, experiment, topics)
    linear = linear_probabilities(options.train, options.data)
    readers = {"encoder": encoder, "linear": linear, "both": (encoder + linear) / 2}
    result = figures([row.labels.topic or "" for row in rows], readers, topics)
    options.report.write_text(json.dumps(result, ensure_ascii=False, indent=1), encoding="utf-8")
    for name, entry in result.items():
        print(f"{name}: macro-F1 {entry['macro_f1']:.3f} [{entry['interval'][0]:.3f}, {entry['interval'][1]:.3f}]")


if __name__ == "__main__":
    main()
