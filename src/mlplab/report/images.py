"""Findings about the images: repeated ones, and labels to look at."""

from typing import Any

from mlplab.report.formatting import percent
from mlplab.runs.record import Finding, Record

NAMED = 5
"""Images that a finding names; the record and the page list more."""

# A network that is wrong about many images is often wrong with confidence; then its doubts say
# little about the labels.
ACCURATE = 0.8
# Probability of the label at which a doubt is worth a look.
DOUBTED = 0.05
# Any network doubts a few hard images; the published test sets of ten data sets have at least
# 0.15 % and on average 3.3 % of wrong labels (Northcutt, Athalye and Mueller 2021).
SHARE = 0.005


def repeated_images(record: Record) -> Finding | None:
    """Say that held-out images are also training images."""
    if not record.repeated:
        return None
    texts = []
    for split, facts in record.repeated.items():
        names = ", ".join(f"{one} = {other}" for one, other in facts["pairs"][:NAMED])
        more = ", …" if facts["images"] > NAMED else ""
        count = f"{facts['images']:,} {split} image{'' if facts['images'] == 1 else 's'}"
        are = "is" if facts["images"] == 1 else "are"
        share = percent(facts["share"])
        text = f"{count} ({share}) {are} also in the training images: {names}{more}"
        if facts["other_class"]:
            text += f" ({facts['other_class']:,} in another class)"
        texts.append(text)
    return Finding(
        kind="repeated-images",
        heading="The same pictures in training and in evaluation",
        text=(
            f"{'; '.join(texts)}. They are equal in every pixel. The network has been trained on"
            " them, so accuracy on them does not show what it does with new images. Keep one of"
            " each."
        ),
        evidence={f"{split}_share": facts["share"] for split, facts in record.repeated.items()},
    )


def label_errors(record: Record) -> Finding | None:
    """Name held-out images whose labels the network doubts."""
    rows: list[dict[str, Any]] = []
    doubted = images = 0
    for split, facts in record.label_candidates.items():
        metrics = record.metrics.get(split) or {}
        if (metrics.get("accuracy") or 0) >= ACCURATE:
            rows += [row for row in facts["listed"] if row["label_probability"] <= DOUBTED]
            doubted += facts["images"]
            images += metrics.get("n") or 0
    if not rows or doubted < SHARE * images:
        return None
    rows.sort(key=lambda row: row["label_probability"])
    names = ", ".join(
        f"{row['image']} ({row['label']}, predicted {row['predicted']})" for row in rows[:NAMED]
    )
    count = "1 image" if doubted == 1 else f"{doubted:,} images"
    return Finding(
        kind="label-errors",
        heading="Labels to check",
        text=(
            f"The network is sure of another class than the label says for {count} that it was not"
            f" trained on, and most of all for {names}{', …' if doubted > NAMED else ''}. Some may"
            " be mislabelled, others are hard or unusual images: look at them before you change a"
            " label."
        ),
        evidence={"images": doubted, "share": doubted / images if images else None},
    )


def tables(record: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the tables of the page: ``labels`` and ``repeated``, each by split."""
    labels, repeated = {}, {}
    for split, facts in record["label_candidates"].items():
        columns = list(facts["listed"][0]) if facts["listed"] else []
        rows = [[row[column] for column in columns] for row in facts["listed"]]
        labels[split] = {"columns": columns, "rows": rows}
    for split, facts in record["repeated"].items():
        repeated[split] = {"columns": [f"{split} image", "training image"], "rows": facts["pairs"]}
    return {"labels": labels, "repeated": repeated}


OF_IMAGES = (repeated_images, label_errors)
