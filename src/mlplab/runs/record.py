"""``record.json``: the facts of a run, for comparison, reports and outside programs."""

from pathlib import PurePath
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, NonNegativeInt

Status = Literal["running", "finished", "interrupted", "diverged", "failed"]


ENDED: tuple[Status, ...] = ("finished", "diverged")
"""Final states."""
UNFINISHED: tuple[Status, ...] = ("interrupted", "failed")
"""States that can be resumed."""


DATA_FILES = (".npz", ".csv", ".tsv", ".parquet")
"""Endings of files that the user's own images may be in."""


def data_title(name: str, data_path: str) -> str:
    """Return a data set's name; of the user's own images that of their folder or file.

    A folder has a slash, ``photos/``. A data set of the Hugging Face hub keeps its address.
    """
    path = PurePath(data_path)
    if data_path.startswith("arrays://"):
        return name
    if data_path.startswith("hf://") or not data_path:
        return data_path.partition("@")[0] or name
    return path.name if path.suffix.lower() in DATA_FILES else f"{path.name}/"


class Seconds(BaseModel):
    """Wall-clock seconds of a run.

    Attributes:
        total: from the start of the run to its record.
        prepare: from the loaded data to the network with its initial weights.
        compile: compiling the steps of training and of validation.
        train: the training loop, validation and callbacks included.
        epoch_median: the steps of one epoch, without validation and callbacks.

    In a population ``compile`` and ``train`` are those of all its members together, and ``total``
    ends when this member's files are written.
    """

    model_config = ConfigDict(extra="forbid")
    total: float = 0.0
    prepare: float = 0.0
    compile: float = 0.0
    train: float = 0.0
    epoch_median: float = 0.0


class Population(BaseModel):
    """The population that a run was trained in, by one compiled program.

    Attributes:
        members: runs in the population, this one included.
        mode: ``map``, one member after another, with the same bits as a single run; or ``vmap``,
            all of them in each operation, which rounds differently.
    """

    model_config = ConfigDict(extra="forbid")
    members: int
    mode: Literal["map", "vmap"]


class Source(BaseModel):
    """A run that another run started from.

    Attributes:
        role: ``teacher``, or the key of the recipe that names it.
        network: the name of its family.
        digest: SHA-256 of its network's file.
        seconds: its training time.
        accuracy: by split.
        run: as the recipe names it.
        validation_seen: images of the other run's validation split that it was trained on; ``None``
            if that is not known.
        sources: the runs that it started from itself.
        class_names: of its classes.
        taken: layers whose weights were copied, adapted ones included.
        adapted: how the adapted ones were changed.
        fresh: layers that kept their initial weights, and why.
    """

    model_config = ConfigDict(extra="forbid")
    role: str
    run: str
    recipe: str
    config_id: str
    seed: int
    network: str
    digest: str
    data_id: str
    parameters: int
    flops_per_example: int
    seconds: float
    accuracy: dict[str, float]
    selected_on: str
    validation_seen: int | None
    sources: list["Source"] = []
    class_names: list[str] = []
    taken: list[str] = []
    adapted: list[str] = []
    fresh: list[str] = []


class TrainingImages(BaseModel):
    """The images that a run was trained on.

    Attributes:
        count: how many, validation images not included.
        validation: how many images validation has.
        by_class: how many of each class are trained on.
        pixel_mean: mean pixel, 0 to 255, of a sample of them.
        pixel_deviation: standard deviation of the pixels of that sample, all positions and channels
            together.
    """

    model_config = ConfigDict(extra="forbid")
    count: NonNegativeInt
    validation: NonNegativeInt
    by_class: list[NonNegativeInt]
    pixel_mean: float
    pixel_deviation: float


class Finding(BaseModel):
    """A finding about a run.

    Attributes:
        kind: its subject, such as ``overfitting``.
        heading: its title.
        text: in plain words; settings and overrides are in backticks.
        evidence: the numbers and names that it rests on.
        overrides: what it suggests to try, as ``table.key=value``.
    """

    model_config = ConfigDict(extra="forbid")
    kind: str
    heading: str = ""
    text: str
    evidence: dict[str, Any] = {}
    overrides: list[str] = []


class Record(BaseModel):
    """What a run is and what it achieved.

    Attributes:
        schema_version: written as ``schema``.
        config_id: identity of the recipe without its seed, and with the identities of the runs
            that it names in place of their names.
        code: SHA-256 of the user's own code that the recipe names, which the folder ``code`` has;
            ``None`` if it names none, or the run was started before this was recorded.
        data: name of the data set.
        data_path: its folder or file, if the images are the user's own.
        data_id: hash of the decoded data set.
        source_id: hash of its files, the same whatever size the images are decoded to; empty in
            older records.
        images: what it was trained on; ``None`` for runs made before this was recorded.
        parameters: number of scalars in the network, non-trainable ones included.
        flops_per_example: multiplications and additions of one forward pass's dense products.
        best_epoch: counted from 1, the epoch whose weights were kept.
        metrics: by split; see ``mlplab.statistics.metrics.classification_metrics``, and ``tta``
            with some of these figures for probabilities averaged over views of an image. Those on a
            second test set, such as ``cifar10.1``, have its own ``ledger``.
        selected_on: the split that every choice was made on.
        test_openings: how often this run was evaluated on the test split.
        ledger: evaluations on this test set, and configurations evaluated, in the runs folder.
        diagnostics: by layer, gradient norm, ratio of update to weight and share of dead units.
        learnt: what the network has learnt: ``sensitivity`` (accuracy on shifted and noisy images
            of the split that it names), and ``fields`` of its first layer, if that is dense: how
            many ``units``, how many ``empty``, ``local_share`` and ``field_spread`` of the others.
        temperature: by which the logits of the trained network were divided, or ``None``.
        repeated: held-out images that are also training images, by split: how many ``images``,
            their ``share``, how many are of an ``other_class`` in training, and names in ``pairs``.
        label_candidates: held-out images whose labels may be wrong, by split: how many ``images``,
            and those ``listed``; see ``mlplab.experiment.data_checks.label_candidates``.
        files: SHA-256 of each file of the run, by its path in the folder.
        reason: why the run failed or diverged.
        rewinds: epochs that were repeated with half the learning rate because they diverged:
            ``epoch`` (from 1), ``learning_rate`` (from then on).
        resumed: how often the run was resumed after an interruption.
        options: what it was given in addition to its recipe, for resuming it.
        population: how it was trained together with others, or ``None`` for a single run.
        variables: of the environment, that affect how JAX rounds; earlier records have none.
        sources: runs that it started from: teachers, or where its initial weights are from.
    """

    model_config = ConfigDict(extra="forbid", populate_by_name=True)
    schema_version: Literal[1] = 1
    name: str
    group: str | None = None
    status: Status = "running"
    reason: str | None = None
    recipe: str
    command: str = ""
    config_id: str
    seed: int
    code: str | None = None
    data: str = ""
    data_path: str = ""
    data_id: str = ""
    source_id: str = ""
    class_names: list[str] = []
    image_shape: list[int] = []
    skipped: list[str] = []
    repeated: dict[str, dict[str, Any]] = {}
    images: TrainingImages | None = None
    parameters: int = 0
    flops_per_example: int = 0
    epochs: int = 0
    best_epoch: int = 0
    metrics: dict[str, dict[str, Any]] = {}
    temperature: float | None = None
    selected_on: str = "validation"
    test_openings: NonNegativeInt = 0
    ledger: dict[str, int] = {}
    rewinds: list[dict[str, float]] = []
    resumed: int = 0
    options: dict[str, Any] = {}
    population: Population | None = None
    sources: list[Source] = []
    seconds: Seconds = Seconds()
    peak_memory_bytes: int = 0
    device: dict[str, Any] = {}
    precision: str = "float32"
    versions: dict[str, str] = {}
    variables: dict[str, str] | None = None
    git: dict[str, Any] = {}
    started: str = ""
    ended: str = ""
    diagnostics: dict[str, Any] = {}
    learnt: dict[str, Any] = {}
    label_candidates: dict[str, dict[str, Any]] = {}
    findings: list[Finding] = []
    model_summary: str = ""
    files: dict[str, str] = {}

    @property
    def data_title(self) -> str:
        """The title of the data set, as :func:`data_title` gives it."""
        return data_title(self.data, self.data_path)

    @property
    def data_ids(self) -> frozenset[str]:
        """All identities of the data set; two records of the same data set share at least one."""
        return frozenset({self.data_id, self.source_id} - {""})

    @property
    def source_ids(self) -> dict[str, str]:
        """Identities of the runs that the recipe names, by their names."""
        return {source.run: source.config_id for source in self.sources}

    def to_json(self) -> dict[str, Any]:
        """Return the record as JSON-able tables, with ``schema`` for the version."""
        tables = self.model_dump(mode="json")
        return {"schema": tables.pop("schema_version"), **tables}

    @classmethod
    def from_json(cls, tables: dict[str, Any]) -> "Record":
        """Read what ``to_json`` returns.

        Raises:
            pydantic.ValidationError: if a fact is missing, unknown or of the wrong type.
        """
        tables = dict(tables)
        tables.pop("digest", None)  # which `mlplab runs check` compares
        return cls(schema_version=tables.pop("schema", None), **tables)
