"""What a network gets wrong, from the predictions in its run folder."""

from pathlib import Path
from typing import Any

from mlplab.runs import layout, store

LISTED = 400  # mistakes, the surest first
DOUBTFUL = 24
LARGEST = 30  # classes of a confusion matrix that people can read
EXAMPLES = 12  # classes of which an image is named


def of(folder: Path, split: str, cell: tuple[int, int] | None = None) -> dict[str, Any]:
    """Return the confusion matrix of a split and its mistakes.

    Args:
        folder: of the run.
        split: that was evaluated.
        cell: class and prediction that the mistakes are to be of; by default any.

    Returns:
        ``matrix``, counts by class and prediction, of up to 30 classes; ``mistakes``, each with
        ``index`` in the published split, ``label``, ``answer`` and ``confidence``, and ``file`` if
        it has one;
        ``examples``, likewise, right or wrong, one of each class; ``doubtful``, likewise, whose
        labels may be wrong; ``splits``, those that were evaluated.

    Raises:
        RunError: if the split was not evaluated.
    """
    import numpy as np

    from mlplab.statistics.label_errors import candidates
    from mlplab.statistics.metrics import predicted_classes

    record = store.read_record(folder)
    found = store.read_predictions(folder, split)
    labels = found["labels"].astype(np.int64)
    answers = predicted_classes(found["probabilities"])
    confidence = found["probabilities"].max(axis=1)
    count = len(record.class_names)
    matrix = np.bincount(labels * count + answers, minlength=count * count).reshape(count, count)
    wrong = np.flatnonzero(answers != labels)
    wrong = wrong[np.argsort(-confidence[wrong], kind="stable")]
    asked = wrong
    if cell is not None:
        asked = wrong[(labels[wrong] == cell[0]) & (answers[wrong] == cell[1])]
    files = found.get("files")

    def row(place: int) -> dict[str, Any]:
        return {
            "index": int(found["index"][place]),
            "label": int(labels[place]),
            "answer": int(answers[place]),
            "confidence": float(confidence[place]),
            **({"file": str(files[place])} if files is not None else {}),
        }

    doubtful = candidates(found["probabilities"], labels) if split != "train" else ()
    return {
        "class_names": record.class_names,
        "matrix": matrix.tolist() if count <= LARGEST else None,
        "wrong": len(wrong),
        "images": len(labels),
        "mistakes": [row(place) for place in asked[:LISTED]],
        "examples": [row(place) for place in np.unique(labels, return_index=True)[1][:EXAMPLES]],
        "doubtful": [row(place) for place in doubtful[:DOUBTFUL]],
        "splits": [s for s in store.SPLITS if (folder / layout.predictions(s)).is_file()],
    }
