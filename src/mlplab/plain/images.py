"""The part of a program that loads the images and splits them."""

from collections.abc import Sequence

from mlplab.data.idx import FASHION_MNIST, MNIST
from mlplab.data.published import CIFAR10, CIFAR100
from mlplab.plain.facts import Facts
from mlplab.plain.source import Part, block, bracketed, literal

NAMES = {
    "cifar10": CIFAR10.class_names,
    "cifar100": CIFAR100.class_names,
    "mnist": MNIST.class_names,
    "fashion_mnist": FASHION_MNIST.class_names,
    "digits": tuple("0123456789"),
}
COLOURED = ("cifar10", "cifar100")

HOLD_OUT = '''\
def hold_out(labels, share, seed):
    """Return the positions that are kept and those of a share of each class."""
    random = np.random.default_rng(seed)
    chosen = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        count = min(max(int(share * len(members) + 0.5), 1), len(members) - 1)
        chosen[random.permutation(members)[:count]] = True
    return np.flatnonzero(~chosen), np.flatnonzero(chosen)'''

OF_CLASSES = '''\
def of_classes(images, labels):
    """Return the images of the chosen classes, labelled from 0."""
    kept = np.isin(labels, CHOSEN)
    return images[kept], np.searchsorted(CHOSEN, labels[kept])'''

READ_IMAGE = '''\
def read_image(path):
    """Return an image on white, upright and square: uint8 [SIDE, SIDE, 3]."""
    with Image.open(path) as image:
        image = ImageOps.exif_transpose(image)
        if image.has_transparency_data:
            white = Image.new("RGBA", image.size, "white")
            image = Image.alpha_composite(white, image.convert("RGBA"))
        return np.asarray({fitted})'''
FITTED = {
    "crop": 'ImageOps.fit(image.convert("RGB"), (SIDE, SIDE))',
    "pad": 'ImageOps.pad(image.convert("RGB"), (SIDE, SIDE), color=(128, 128, 128))',
    "stretch": 'image.convert("RGB").resize((SIDE, SIDE))',
}

READ_FOLDER = '''\
def read_folder(folder):
    """Return the images of a folder that has a folder for each class, and their labels."""
    images, labels = [], []
    for label, name in enumerate(NAMES):
        for path in sorted((DATA / folder / name).rglob("*")):
            if path.is_dir() or path.name.startswith("."):
                continue
            try:
                images.append(read_image(path))
                labels.append(label)
            except (OSError, ValueError, SyntaxError) as error:
                print(f"left out: {error}")
    return np.stack(images), np.array(labels)'''


def constants(facts: Facts) -> str:
    """Return what the user may have to edit: where the images are."""
    data = facts.recipe.data
    if data.name == "folder":
        return block(
            "# The folder of your images.",
            bracketed("DATA = Path(", [literal(str(facts.root))]),
            f"SIDE = {data.image_size}",
            bracketed("NAMES = [", map(literal, facts.folder_names), "]"),
            _chosen(facts, facts.folder_names) if data.classes else "CLASSES = len(NAMES)",
        )
    if not data.classes:
        return f"CLASSES = {facts.classes}"
    return _chosen(facts, NAMES[data.name])


def _chosen(facts: Facts, names: Sequence[str]) -> str:
    chosen = [str(names.index(name)) for name in facts.class_names]
    return block(
        f"# {', '.join(facts.class_names)}" if facts.recipe.data.name != "folder" else "",
        bracketed("CHOSEN = [", chosen, "]"),
        "CLASSES = len(CHOSEN)",
    )


def images(facts: Facts) -> Part:
    """Return the part that gives ``x_train``, ``y_train``, ``x_val``, … as the run had them."""
    data = facts.recipe.data
    loaded = _folder(facts) if data.name == "folder" else _published(facts)
    if data.classes:
        loaded = _of_classes(loaded)
    published = "validation" in facts.folders
    holds_out = data.validation != "test" and not published
    code = block(
        loaded.code,
        "" if holds_out else _known_validation(facts),
        _held_out(data.validation) if holds_out else "",
        _share(data.share) if data.share < 1 else "",
    )
    uses = "hold_out(" in code
    definitions = (*loaded.definitions, *((HOLD_OUT,) if uses else ()))
    return Part(code, definitions, loaded.imports)


def _held_out(share: float | str) -> str:
    return block(
        f"# The images of the run's validation split: a share of {share:g} of each class.",
        f"kept, held_out = hold_out(y_train, {share!r}, SEED)",
        "x_val, y_val = x_train[held_out], y_train[held_out]",
        "x_train, y_train = x_train[kept], y_train[kept]",
    )


def _share(share: float) -> str:
    return block(
        f"# A share of {share:g} of each class is trained on.",
        f"_, part = hold_out(y_train, {share!r}, SEED)",
        "x_train, y_train = x_train[part], y_train[part]",
    )


def _known_validation(facts: Facts) -> str:
    if facts.recipe.data.validation == "test":
        return block(
            "# As in the run, early stopping and other choices see the test images.",
            "x_val, y_val = x_test, y_test",
        )
    read = f"read_folder({literal(facts.folders['validation'])})"
    return f"x_val, y_val = {f'of_classes(*{read})' if facts.recipe.data.classes else read}"


def _published(facts: Facts) -> Part:
    data = facts.recipe.data
    imports: tuple[str, ...] = ()
    if data.name == "digits":
        code = block(
            "digits = load_digits()",
            "images = np.rint(digits.images[..., None] * 255 / 16).astype(np.uint8)",
            f"kept, tested = hold_out(digits.target, {data.test!r}, seed=0)",
            "x_train, y_train = images[kept], digits.target[kept]",
            "x_test, y_test = images[tested], digits.target[tested]",
        )
        imports = ("from sklearn.datasets import load_digits",)
    else:
        code = block(
            f"(x_train, y_train), (x_test, y_test) = keras.datasets.{data.name}.load_data()",
            "y_train, y_test = y_train.ravel(), y_test.ravel()"
            if data.name in COLOURED
            else "x_train, x_test = x_train[..., None], x_test[..., None]",
        )
    return Part(code, (), imports)


def _of_classes(loaded: Part) -> Part:
    """Return the part that loads the images with one more step: only some classes are kept."""
    code = block(
        loaded.code,
        "x_train, y_train = of_classes(x_train, y_train)",
        "x_test, y_test = of_classes(x_test, y_test)",
    )
    return Part(code, (*loaded.definitions, OF_CLASSES), loaded.imports)


def _folder(facts: Facts) -> Part:
    folders, share = facts.folders, facts.recipe.data.test
    code = f"x_train, y_train = read_folder({literal(folders['train'])})"
    if "test" in folders:
        code = block(code, f"x_test, y_test = read_folder({literal(folders['test'])})")
    else:
        code = block(
            code,
            f"kept, tested = hold_out(y_train, {share!r}, seed=0)",
            "x_test, y_test = x_train[tested], y_train[tested]",
            "x_train, y_train = x_train[kept], y_train[kept]",
        )
    imports = ("from pathlib import Path", "from PIL import Image, ImageOps")
    read_image = READ_IMAGE.replace("{fitted}", FITTED[facts.recipe.data.fit])
    return Part(code, (read_image, READ_FOLDER), imports)
