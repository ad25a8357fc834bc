"""A comparison in words: rows for a terminal, and Markdown."""

from mlplab.report.comparison import Comparison, Pairing


def rows(found: Comparison) -> tuple[list[str], list[list[str]]]:
    """Return the headings and rows of the table."""
    headings = [
        "",
        "runs",
        "validation",
        "test",
        "train seconds",
        "epochs",
        "TFLOP",
        "parameters",
        "",
    ]
    entries = [
        [
            entry.name,
            str(entry.n),
            _figure(entry.accuracy.get("validation"), entry.selected_on != "test"),
            _figure(entry.accuracy.get("test"), True),
            f"{entry.cost['seconds']:.1f}",
            f"{entry.cost['epochs']:g}",
            f"{entry.cost['training_flops'] / 1e12:.3g}",
            f"{entry.cost['parameters']:,.0f}",
            "Pareto" if entry.on_front else "",
        ]
        for entry in found.entries
    ]
    return headings, entries


def _figure(figures: dict[str, float] | None, honest: bool) -> str:
    if not honest:
        return "on test"
    if not figures:
        return "–"
    text = f"{100 * figures['mean']:.2f}"
    if figures["sd"] is not None:
        return f"{text} ± {100 * figures['sd']:.2f}"
    return f"{text} ({100 * figures['low']:.1f} to {100 * figures['high']:.1f})"


def verdict(found: Comparison, pairing: Pairing) -> tuple[str, str]:
    """Return the verdict on a pairing, and the figures that it rests on."""
    text = f"{pairing.first} – {pairing.second} on {found.split}: {pairing.verdict}"
    return text, _details(pairing)


def verdicts(found: Comparison) -> list[str]:
    """Return a line or two on each pairing."""
    lines = []
    for pairing in found.pairings:
        text, details = verdict(found, pairing)
        lines += [text, f"    {details}"] if details else [text]
    return lines


def _details(pairing: Pairing) -> str:
    parts = []
    if pairing.sd is not None:
        parts.append(f"{pairing.n} pairs, {_signed(pairing.mean)} ± {100 * pairing.sd:.2f} points")
    if pairing.low is not None and pairing.high is not None:
        parts.append(
            f"{100 * pairing.confidence:.3g} % interval {_signed(pairing.low)} to"
            f" {_signed(pairing.high)}"
        )
    if pairing.images is not None:
        low, high = pairing.images
        parts.append(f"including new images {_signed(low)} to {_signed(high)}")
    if pairing.flips is not None:
        parts.append(f"sign flips p = {pairing.flips:.2g}")
    if pairing.mcnemar is not None:
        first, second = (int(pairing.mcnemar[key]) for key in ("first", "second"))
        parts.append(
            f"images only one gets right: {pairing.first} {first:,}, {pairing.second} {second:,}"
        )
    return "; ".join(parts)


def _item(text: str, details: str) -> str:
    return f"- **{text}**" + (f"<br>{details}" if details else "")


def _signed(share: float) -> str:
    return f"{100 * share:+.2f}".replace("-", "−")


def markdown(found: Comparison) -> str:
    """Return table, verdicts and notes as Markdown."""
    headings, entries = rows(found)
    lines = [
        "| " + " | ".join(headings) + " |",
        "| " + " | ".join(["---", *["---:"] * (len(headings) - 2), "---"]) + " |",
        *["| " + " | ".join(row) + " |" for row in entries],
        "",
        *[_item(*verdict(found, pairing)) for pairing in found.pairings],
        *[f"- {text}." for text in found.notes],
    ]
    return "\n".join(lines)
