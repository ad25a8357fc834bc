"""The part of a program that changes training images at random.

In NumPy, batch by batch: the same changes with the same distributions as in the run, with every
backend of Keras. Of Keras's own layers, those that shift and crop keep a network from being
compiled by JAX, and others draw their amounts differently.
"""

from mlplab.plain.facts import Facts
from mlplab.plain.source import block
from mlplab.recipes.recipe import Augment

SHIFT = '''\
def shift(images, most, random):
    """Shift each image by up to ``most`` pixels in each direction; edges are mirrored."""
    count, height, width, _ = images.shape
    margin = ((0, 0), (most, most), (most, most), (0, 0))
    padded = np.pad(images, margin, "reflect")
    down, right = random.integers(0, 2 * most + 1, (2, count, 1, 1))
    rows, columns = down + np.arange(height)[:, None], right + np.arange(width)
    return padded[np.arange(count)[:, None, None], rows, columns]'''

WARP = '''\
def mirrored(at, size):
    """Return positions within an image of this size, mirrored at its edges."""
    at = abs(at) % max(2 * (size - 1), 1)
    return np.minimum(at, 2 * (size - 1) - at)


def crop_and_rotate(images, least, degrees, random):
    """Enlarge a part of each image, ``least`` of its area or more, and rotate it."""
    count, height, width, _ = images.shape
    side = np.sqrt(random.uniform(least, 1, (count, 1, 1)))
    angle = np.deg2rad(random.uniform(-degrees, degrees, (count, 1, 1)))
    down, right = random.uniform(-0.5, 0.5, (2, count, 1, 1))
    y = np.arange(height)[:, None] - (height - 1) / 2
    x = np.arange(width) - (width - 1) / 2
    from_y = side * (y * np.cos(angle) - x * np.sin(angle))
    from_x = side * (y * np.sin(angle) + x * np.cos(angle))
    from_y = mirrored(from_y + (height - 1) / 2 + down * (1 - side) * height, height)
    from_x = mirrored(from_x + (width - 1) / 2 + right * (1 - side) * width, width)
    top, left = from_y.astype(int), from_x.astype(int)
    below, beside = np.minimum(top + 1, height - 1), np.minimum(left + 1, width - 1)
    share_y, share_x = (from_y - top)[..., None], (from_x - left)[..., None]
    each = np.arange(count)[:, None, None]
    above = (1 - share_x) * images[each, top, left]
    above += share_x * images[each, top, beside]
    under = (1 - share_x) * images[each, below, left]
    under += share_x * images[each, below, beside]
    return np.round((1 - share_y) * above + share_y * under).astype(np.uint8)'''

COLOUR = '''\
def recolour(images, strength, random):
    """Change brightness, contrast and saturation of each image."""
    amounts = random.uniform(1 - strength, 1 + strength, (3, len(images), 1, 1, 1))
    brightness, contrast, saturation = amounts
    luma = [0.299, 0.587, 0.114] if images.shape[-1] == 3 else [1.0]
    images = brightness * images
    mean = (images @ luma).mean(axis=(1, 2))[:, None, None, None]
    images = mean + contrast * (images - mean)
    grey = (images @ luma)[..., None]
    images = grey + saturation * (images - grey)
    return np.clip(np.round(images), 0, 255).astype(np.uint8)'''

CUTOUT = '''\
def cutout(images, side, random):
    """Paint a square of each image grey."""
    count, height, width, _ = images.shape
    top = random.integers(0, height, (count, 1, 1)) - side // 2
    left = random.integers(0, width, (count, 1, 1)) - side // 2
    y, x = np.arange(height)[:, None], np.arange(width)
    inside = (y >= top) & (y < top + side) & (x >= left) & (x < left + side)
    return np.where(inside[..., None], np.uint8(127), images)'''

BLEND = '''\
def mix(images, labels, random):
    """Mix the images of a batch in pairs, and their labels."""
    height, width = images.shape[1:3]
    weights = np.ones((height, width, 1))  # of an image; the rest is its partner's
'''
MIXED = """\
    partner = random.permutation(len(images))
    images = weights * images + (1 - weights) * images[partner]
    share = weights.mean()
    labels = share * labels + (1 - share) * labels[partner]
    return np.round(images).astype(np.uint8), labels"""


def changes_images(settings: Augment) -> bool:
    """Return whether training images are changed at all."""
    return settings != Augment()


def definitions(facts: Facts) -> tuple[str, ...]:
    """Return the functions, and the class of the batches that ``fit`` is given."""
    settings = facts.recipe.augment
    functions = []
    if settings.crop_resize or settings.rotation:
        functions.append(WARP)
    if settings.shift:
        functions.append(SHIFT)
    if settings.colour:
        functions.append(COLOUR)
    if settings.cutout:
        functions.append(CUTOUT)
    if settings.mixes:
        functions.append(_mix(settings))
    return (*functions, _batches(facts))


def _mix(settings: Augment) -> str:
    alpha = settings.cutmix
    box = block(
        f"side = np.sqrt(1 - random.beta({alpha!r}, {alpha!r}))",
        "rows, columns = int(side * height), int(side * width)",
        "top = random.integers(height) - rows // 2",
        "left = random.integers(width) - columns // 2",
        "inside = (slice(max(top, 0), max(top + rows, 0)),)",
        "inside += (slice(max(left, 0), max(left + columns, 0)),)",
        "weights[inside] = 0",
    )
    blend = f"weights = weights * random.beta({settings.mixup!r}, {settings.mixup!r})"
    if settings.mixup and settings.cutmix:
        body = block(
            "if random.random() < 0.5:",
            block(blend, indent=1),
            "else:",
            block(box, indent=1),
            indent=1,
        )
    else:
        body = block(blend if settings.mixup else box, indent=1)
    return f"{BLEND}{body}\n{MIXED}"


def _batches(facts: Facts) -> str:
    settings = facts.recipe.augment
    weighted = settings.mixes and facts.recipe.loss.class_weights is not None
    flips = {
        "none": "",
        "random": block(
            "flipped = random.random(len(rows)) < 0.5",
            "images[flipped] = images[flipped, :, ::-1]",
        ),
        "alternating": block(
            "# By a coin in the first epoch, and from then on in turns.",
            "flipped = self.side[rows] ^ (self.epoch % 2 == 1)",
            "images[flipped] = images[flipped, :, ::-1]",
        ),
    }[settings.flip]
    least = settings.crop_resize or 1
    degrees = f"{settings.rotation:g}"
    body = block(
        "random = np.random.default_rng([SEED, self.epoch, index])",
        "rows = self.order[index * BATCH_SIZE : (index + 1) * BATCH_SIZE]",
        "images, labels = self.images[rows], self.labels[rows]",
        flips,
        f"images = crop_and_rotate(images, {least:g}, {degrees}, random)"
        if settings.crop_resize or settings.rotation
        else "",
        f"images = shift(images, {settings.shift}, random)" if settings.shift else "",
        f"images = recolour(images, {settings.colour:g}, random)" if settings.colour else "",
        f"images = cutout(images, {settings.cutout}, random)" if settings.cutout else "",
        "images, labels = mix(images, labels, random)" if settings.mixes else "",
        "return images, labels, labels @ weights" if weighted else "return images, labels",
        indent=2,
    )
    side = (
        "        self.side = np.random.default_rng(SEED).random(len(images)) < 0.5\n"
        if settings.flip == "alternating"
        else ""
    )
    return f'''\
class Batches(keras.utils.PyDataset):
    """Training images in a new order in each epoch, changed at random."""

    def __init__(self, images, labels):
        super().__init__()
        self.images, self.labels, self.epoch = images, labels, -1
{side}        self.on_epoch_end()

    def __len__(self):
        return math.ceil(len(self.images) / BATCH_SIZE)

    def __getitem__(self, index):
{body}

    def on_epoch_end(self):
        self.epoch += 1
        order = np.random.default_rng([SEED, self.epoch])
        self.order = order.permutation(len(self.images))'''
