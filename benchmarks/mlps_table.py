"""The table of the best MLPs from the records in docs/results/mlps/; see ``benchmarks.mlps``."""

import json
import statistics
from collections.abc import Sequence
from pathlib import Path

from mlplab import recipes
from mlplab.recipes.recipe import Recipe
from mlplab.report import comparison
from mlplab.report.configurations import side
from mlplab.report.formatting import exact_points
from mlplab.runs import store
from mlplab.runs.record import Record, Source

COPIES = Path(__file__).parents[1] / "docs" / "results" / "mlps"
ENSEMBLES = COPIES / "ensembles.json"
PICTURE = "receptive_fields.png"
# Paired differences on the page: the first is compared with the second on the given split.
PAIRS = [
    ("mlp-taught", "mlp-budget", "test"),
    ("structured-init", "cnn-narrow", "test"),
    ("s-fc-small", "s-fc-small-sgd", "validation"),
    ("s-fc-small", "s-fc-small-sgd", "test"),
]
CLASSES = {
    "1": "Class 1: plain MLPs, random initial weights, CIFAR-10's 50,000 training images alone",
    "2, convolutional teacher": "Class 2: the same with a convolutional teacher",
    "2, MLP teacher": "Class 2: the same with an MLP as teacher",
    "3": "Class 3: plain MLPs with structured initial weights",
    "4": "Class 4: other networks from scratch, for comparison and as teachers",
}
PUBLISHED = {
    "1": [
        ("S-FC with β-LASSO, 256M parameters, 4,000 epochs (Neyshabur 2020)", "85.19"),
        ("S-FC with SGD, 4,000 epochs (Neyshabur 2020)", "78.6"),
        ("linear bottlenecks, autoencoder pretraining, deformations (Lin et al. 2015)", "78.6"),
        ("B-MLP, 5,000 epochs (Bachmann et al. 2023)", "75.4"),
        ("S-FC with SGD, 400 epochs (Neyshabur 2020)", "72.8"),
        ("the published report, chosen on test", "54.4"),
    ],
    "2, convolutional teacher": [
        ("distilled from 16 CNNs, 31.6M parameters (Urban et al. 2017)", "74.3")
    ],
}
PLAIN_MLPS = ("mlp", "residual-mlp", "linear-bottleneck", "s-fc")


def class_of(record: Record) -> str:
    """Return the class of a record's network, as defined by the protocol for records."""
    recipe = recipe_of(record)
    family = recipe.model.name
    teachers = [source for source in record.sources if source.role == "teacher"]
    if family in PLAIN_MLPS and teachers:
        plain = all(source.network in PLAIN_MLPS for source in behind(teachers))
        return "2, MLP teacher" if plain else "2, convolutional teacher"
    if family in PLAIN_MLPS:
        return "1"
    return "3" if family == "structured-init" else "4"


def behind(sources: Sequence[Source]) -> list[Source]:
    """Return the sources, their own sources, and so on."""
    return [one for source in sources for one in (source, *behind(source.sources))]


def recipe_of(record: Record) -> Recipe:
    """Return the complete recipe of a copied record."""
    return recipes.load(str(COPIES / record.name / "recipe.toml"))


def table() -> str:
    """Return the page."""
    records = [store.read_record(folder) for folder in store.folders(COPIES)]
    for record in records:
        if record.test_openings != 1 or record.selected_on != "validation":
            raise SystemExit(
                f"{record.name} did not open the test split exactly once, or selected on it"
            )
    flattered = [r.name for r in records if any(s.validation_seen != 0 for s in r.sources)]
    groups: dict[str, dict[str, list[Record]]] = {key: {} for key in CLASSES}
    for record in sorted(records, key=lambda r: r.seed):
        groups[class_of(record)].setdefault(record.group or record.name, []).append(record)
    lines = [
        "# The best MLPs",
        "",
        "Written by `python -m benchmarks.mlps table` from the records in [mlps/](mlps/);"
        " `python -m benchmarks.mlps train cpu` (or `gpu`) trains them. Accuracies on test are of"
        " the images as they are and, where a recipe asks for it, of their views (test-time"
        " augmentation, TTA); ± is the standard deviation over seeds, and a single seed is named."
        " Every choice was made on validation; each run opened the test split once. Seconds are"
        " those of a shared machine, some of them beside other work: alone it takes up to half as"
        " long; those of teachers and of networks to begin from are apart, at the end. A teacher"
        " of another seed was trained on most of the images that are validation here: then"
        f" validation flatters ({', '.join(flattered)}), and ± holds no other teachers.",
    ]
    for key, title in CLASSES.items():
        if groups[key] or key in PUBLISHED:
            lines += ["", f"## {title}", "", *rows(groups[key], PUBLISHED.get(key, []))]
    return "\n".join([*lines, *ensembles(), *pairs(), *details(records)]) + "\n"


def ensembles() -> list[str]:
    """Return the table of ensembles, whose members are networks of the tables above."""
    if not ENSEMBLES.exists():
        return []
    lines = [
        *("", "## Ensembles: the mean of several networks' probabilities", ""),
        "| who | test % | with TTA | ensembles | parameters | MFLOP an image | training |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for one in json.loads(ENSEMBLES.read_text()):
        found = one["ensembles"]
        seconds = statistics.median(each["training_seconds"] for each in found)
        lines.append(
            f"| {one['name']} | {spread([100 * each['test'] for each in found])}"
            f" | {spread([100 * each['test_over_views'] for each in found])} | {len(found)}"
            f" | {found[0]['parameters']:,} | {found[0]['flops_per_example'] / 1e6:.1f}"
            f" | {seconds:.0f} s, members in turn |"
        )
    return lines


def rows(groups: dict[str, list[Record]], published: Sequence[tuple[str, str]]) -> list[str]:
    """Return a class's table: our results, best first, then published ones."""
    lines = [
        "| who | test % | with TTA | validation % | seeds | parameters | MFLOP an image | epochs"
        " | training | machine |",
        "| --- | ---: | ---: | ---: | --- | ---: | ---: | ---: | ---: | --- |",
    ]
    best_first = sorted(groups.items(), key=lambda item: -mean(item[1], "validation"))
    for name, found in best_first:
        one = found[0]
        seeds = "one seed alone" if len(found) == 1 else str(len(found))
        seconds = statistics.median(record.seconds.train for record in found)
        device = one.device
        where = device["name"] if device["kind"] != "cpu" else f"{device['threads']} CPU cores"
        lines.append(
            f"| [{name}](mlps/{one.name}/recipe.toml) | {figure(found, 'test')}"
            f" | {figure(found, 'test', tta=True)} | {figure(found, 'validation')} | {seeds}"
            f" | {one.parameters:,} | {one.flops_per_example / 1e6:.1f} | {one.epochs}"
            f" | {seconds:.0f} s | {where} |"
        )
    for name, accuracy in published:
        lines.append(f"| {name} | {accuracy} | | | | | | | | published |")
    return lines


def values(found: Sequence[Record], split: str, tta: bool = False) -> list[float]:
    """Return the accuracies, in percent, of the runs that have them."""
    metrics = [record.metrics.get(split, {}) for record in found]
    chosen = [each.get("tta", {}) if tta else each for each in metrics]
    return [100 * each["accuracy"] for each in chosen if "accuracy" in each]


def mean(found: Sequence[Record], split: str) -> float:
    """Return the mean accuracy in percent."""
    return statistics.fmean(values(found, split))


def figure(found: Sequence[Record], split: str, tta: bool = False) -> str:
    """Return the mean ± standard deviation over seeds."""
    return spread(values(found, split, tta))


def spread(known: Sequence[float]) -> str:
    """Return the mean of percentages ± their standard deviation."""
    if not known:
        return "–"
    if len(known) == 1:
        return f"{known[0]:.2f}"
    return f"{statistics.fmean(known):.2f} ± {statistics.stdev(known):.2f}"


def pairs() -> list[str]:
    """Return the seed-by-seed comparisons."""
    folders = store.folders(COPIES)
    known = [(folder, store.read_record(folder)) for folder in folders]
    lines = []
    for first, second, split in PAIRS:
        sides = [
            [(folder, record) for folder, record in known if record.group == name]
            for name in (second, first)
        ]
        if not all(sides):
            continue
        found = comparison.compare([side(second, sides[0]), side(first, sides[1])], split)
        (pairing,) = found.pairings
        each = ", ".join(f"{100 * value:+.2f}" for value in pairing.values.values())
        between = (
            f", 95 % interval {100 * pairing.low:.2f} to {100 * pairing.high:.2f}"
            if pairing.low is not None and pairing.high is not None
            else ""
        )
        lines.append(
            f"- `{first}` – `{second}` on {split}: **{exact_points(pairing.mean)}** (seed by"
            f" seed {each}{between})"
        )
    return ["", "## Differences, seed by seed", "", *lines] if lines else []


def details(records: Sequence[Record]) -> list[str]:
    """Return how each network was trained: augmentation, precision, sources."""
    lines = ["", "## How they were trained", ""]
    seen: set[str] = set()
    for record in records:
        name = record.group or record.name
        if name in seen:
            continue
        seen.add(name)
        recipe = recipe_of(record)
        augment = recipes.differences(
            type(recipe.augment)().model_dump(), recipe.augment.model_dump()
        )
        changes = ", ".join(f"{key} {getattr(recipe.augment, key)}" for key in augment) or "none"
        optimizer = recipe.optimizer
        told = ". ".join(
            f"{source.role.replace('_', ' ')}: {source.network} `{source.run}`,"
            f" {100 * source.accuracy['validation']:.1f} % on validation, trained in"
            f" {source.seconds:.0f} s"
            for source in record.sources
        )
        lines.append(
            f"- **{name}**: {recipe.model.name}, {optimizer.name}"
            f" {optimizer.params['learning_rate']:g}, batch {recipe.training.batch_size},"
            f" {recipe.training.precision}, augmentation: {changes}. `{_command(record)}`"
            + (f". {told[0].upper()}{told[1:]}" if told else "")
        )
        picture = COPIES / record.name / PICTURE
        if picture.exists():
            lines += ["", f"  ![Receptive fields of {name}](mlps/{record.name}/{picture.name})", ""]
    return lines


def _command(record: Record) -> str:
    """Return the command that repeats a run; earlier versions evaluated on test without asking."""
    asks = "--test" in record.command.split()
    return record.command if asks else f"{record.command} --test"
