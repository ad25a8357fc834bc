"""The names of all files and folders of runs and studies.

A run folder::

    recipe.toml  record.json  metrics.jsonl  predictions-<split>.npz  model.keras  report.html
    checkpoint/training.npz   while the run is unfinished
    progress.json             while it is trained
    layers.jsonl  layers/     with --layers: numbers and pictures of the layers, by epoch
    tensorboard/  figures/  profile/
    tracking/                 ids of the run at trackers, if the recipe names any
    code/                     of the user, if the recipe names any

A study folder has its definition, facts and trials, and runs in ``trials/`` and ``finals/``.
"""

# A run.
RECIPE = "recipe.toml"
RECORD = "record.json"
METRICS = "metrics.jsonl"
PROGRESS = "progress.json"  # while the run is trained
LAYERS = "layers.jsonl"
PICTURES = "layers"
OUTLINE = "network.json"  # in the folder PICTURES
MODEL = "model.keras"
REPORT = "report.html"
CHECKPOINTS = "checkpoint"
CHECKPOINT = f"{CHECKPOINTS}/training.npz"
EVENTS = "tensorboard"
FIGURES = "figures"
PROFILE = "profile"
TRACKING = "tracking"  # ids of the run at trackers
CODE = "code"
PROFILE_TABLE = "table.json"  # in the folder PROFILE
LOCK = ".lock"
OWNER = ".owner.json"
SAVING = ".saving.keras"  # a network that is still being written

# A runs folder.
LEDGER = "ledger.jsonl"
LEDGER_LOCK = ".ledger.lock"

# A study.
STUDY = "study.toml"
STUDY_FACTS = "study.json"
PRECONDITIONS = "begun-with.json"
TRIALS_DATABASE = "optuna.db"
WORKERS_LOG = "workers.log"
TRIALS = "trials"
FINALS = "finals"

# An exported network.
NETWORK = "network.onnx"
NETWORK_FACTS = "network.json"

RESERVED = {
    RECIPE,
    RECORD,
    METRICS,
    PROGRESS,
    LAYERS,
    PICTURES,
    MODEL,
    REPORT,
    CHECKPOINTS,
    EVENTS,
    FIGURES,
    PROFILE,
    CODE,
    TRACKING,
}
"""Names that a callback must not write to."""


PREDICTIONS = "predictions-"


def predictions(split: str) -> str:
    """Return the name of the file with a split's predictions."""
    return f"{PREDICTIONS}{split}.npz"
