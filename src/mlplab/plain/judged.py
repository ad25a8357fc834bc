"""The part of a program that measures the trained network as the run did."""

from mlplab.plain.facts import Facts
from mlplab.plain.source import Part, block
from mlplab.recipes.recipe import Evaluation

ARRAYS = {"train": "train", "validation": "val", "test": "test"}

MEASURE = '''\
def predict(images):
    """Return the probabilities of the classes, [n, CLASSES]."""
    return model.predict(images, batch_size=250, verbose=0)


def measure(name, probabilities, labels):
    """Print accuracy and cross-entropy."""
    accuracy = np.mean(probabilities.argmax(axis=1) == labels)
    right = np.maximum(probabilities[np.arange(len(labels)), labels], 1e-12)
    print(f"{name}: accuracy {accuracy:.2%}, cross-entropy {-np.log(right).mean():.3f}")'''

SHIFTED = '''\
def over_views(images):
    """Return probabilities averaged over each image {which}."""
    height, width = images.shape[1:3]
    margin = ((0, 0), (SHIFT, SHIFT), (SHIFT, SHIFT), (0, 0))
    padded = np.pad(images, margin, "reflect")
    moves = [(0, 0), (-SHIFT, 0), (SHIFT, 0), (0, -SHIFT), (0, SHIFT)]
    views = []
    for down, right in moves:
        top, left = SHIFT - down, SHIFT - right
        views.append(padded[:, top : top + height, left : left + width])
{flipped}    return np.mean([predict(view) for view in views], axis=0)'''
FLIPPED = '''\
def over_views(images):
    """Return probabilities averaged over each image and its mirror image."""
    views = [images, images[:, :, ::-1]]
    return np.mean([predict(view) for view in views], axis=0)'''


def measured(facts: Facts) -> Part:
    """Return the part that evaluates ``model`` on the splits that the run was evaluated on."""
    settings, data = facts.recipe.evaluation, facts.recipe.data
    splits = [name for name in ARRAYS if name in (facts.metrics or settings.splits)]
    if data.validation == "test":  # which is then one split under two names
        splits = [*(name for name in splits if name == "train"), "test"]
    lines = [line for name in splits for line in _of_split(name, settings.tta)]
    if "test" not in splits:
        lines.append("# When every choice is made, once:")
        lines += [f"# {line}" for line in _of_split("test", settings.tta)]
    definitions = (MEASURE, *((_views(settings),) if settings.tta else ()))
    return Part(block(*lines), definitions)


def _of_split(name: str, tta: bool) -> list[str]:
    """Return what measures a split; held-out images also over their views."""
    images, labels = f"x_{ARRAYS[name]}", f"y_{ARRAYS[name]}"
    lines = [f'measure("{name}", predict({images}), {labels})']
    if tta and name != "train":
        lines.append(f'measure("{name} over views", over_views({images}), {labels})')
    return lines


def _views(settings: Evaluation) -> str:
    if not settings.tta_shift:
        return FLIPPED
    which = "shifted and mirrored" if settings.tta_flip else "shifted"
    flipped = "    views += [view[:, :, ::-1] for view in views]\n" if settings.tta_flip else ""
    return SHIFTED.format(which=which, flipped=flipped)
