"""Arrays as people save them, with the images and labels they mean, or the words that refuse them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

RANDOM = np.random.default_rng(1)
COUNT, HEIGHT, WIDTH = 6, 4, 5
IMAGES = RANDOM.integers(0, 256, (COUNT, 3, HEIGHT, WIDTH)).astype(np.uint8)
"""(N, C, H, W), as the loader must give them."""
GREY = IMAGES[:, :1]
LABELS = np.array([2, 0, 1, 1, 0, 2])
TEXTS = np.array(["cat", "ant", "bee", "bee", "ant", "cat"])
NUMBERED = ("0", "1", "2")


@dataclass(frozen=True)
class ArraySample:
    """`images` (N, C, H, W) and the classes are what the loader must give; None if it must refuse with `words`."""

    name: str
    arrays: Mapping[str, Any]
    images: np.ndarray | None = None
    words: str = ""
    names: tuple[str, ...] = NUMBERED
    settings: Mapping[str, Any] = field(default_factory=dict)


def changed(**changes: Any) -> dict[str, Any]:
    """Grey images (N, H, W) and numbers, with some arrays changed."""
    return {"images": GREY[:, 0], "labels": LABELS, **changes}


def samples() -> Iterator[ArraySample]:
    yield from _axes()
    yield from _types()
    yield from _labels()
    yield from _names()


def _axes() -> Iterator[ArraySample]:
    last = IMAGES.transpose(0, 2, 3, 1)
    yield ArraySample("(N, H, W)", changed(), GREY)
    yield ArraySample("(N, H, W, 1)", changed(images=GREY.transpose(0, 2, 3, 1)), GREY)
    yield ArraySample("(N, 1, H, W)", changed(images=GREY), GREY)
    yield ArraySample("(N, H, W, 3)", changed(images=last), IMAGES)
    yield ArraySample("(N, 3, H, W)", changed(images=IMAGES), IMAGES)
    yield ArraySample("(N, 3, H, W), columns first in memory", changed(images=np.asfortranarray(IMAGES)), IMAGES)
    yield ArraySample("(N, H, W, 3), every second image of a view", changed(images=np.repeat(last, 2, 0)[::2]), IMAGES)
    square = np.repeat(IMAGES[..., :3, :1], 3, axis=3)  # (N, 3, 3, 3)
    yield ArraySample("(N, 3, 3, 3)", changed(images=square), words="both the second and the last axis could be")
    yield ArraySample("(N, 3, 3, 3)", changed(images=square), square, settings={"order": "NCHW"})
    yield ArraySample("(N, 3, 3, 3)", changed(images=square), square.transpose(0, 3, 1, 2), settings={"order": "NHWC"})
    four = np.concatenate([IMAGES, GREY], axis=1)
    yield ArraySample("(N, 4, H, W)", changed(images=four), words="neither the second nor the last axis could be")
    yield ArraySample("(N, 4, H, W)", changed(images=four), four, settings={"order": "NCHW"})
    yield ArraySample(
        "(N, H, W)", changed(), words="has no axis of channels; leave out order", settings={"order": "NCHW"}
    )
    yield ArraySample(
        "(H, W, 3, N), as in MATLAB", changed(images=last.transpose(1, 2, 3, 0)), words="could be channels"
    )
    yield ArraySample("(N, H*W)", changed(images=GREY.reshape(COUNT, -1)), words="expected (N, H, W), (N, H, W, C) or")
    yield ArraySample("(N, 1, 1, H, W)", changed(images=GREY[:, None]), words="expected (N, H, W), (N, H, W, C) or")
    yield ArraySample("(N, 0, W)", changed(images=GREY[:, 0, :0]), words="images without pixels")
    yield ArraySample("(0, H, W)", changed(images=GREY[:0, 0], labels=LABELS[:0]), words="holds no images")


def _types() -> Iterator[ArraySample]:
    deep = GREY[:, 0].astype(np.uint16) * 257
    fraction = GREY[:, 0] / 255
    yield ArraySample(
        "uint16", changed(images=deep), words="images is uint16; expected uint8, 0 to 255; for others set"
    )
    yield ArraySample("uint16", changed(images=deep), GREY, settings={"scale": "uint16"})
    yield ArraySample("uint16, big-endian", changed(images=deep.astype(">u2")), GREY, settings={"scale": "uint16"})
    yield ArraySample(
        "uint16 of 12 bits", changed(images=GREY[:, 0] * np.uint16(16)), GREY, settings={"scale": [0, 4080]}
    )
    yield ArraySample("int16", changed(images=GREY[:, 0].astype(np.int16) - 128), GREY, settings={"scale": [-128, 127]})
    yield ArraySample("int64", changed(images=GREY[:, 0].astype(int)), words="images is int64; expected uint8")
    yield ArraySample("int64", changed(images=GREY[:, 0].astype(int)), GREY, settings={"scale": [0, 255]})
    yield ArraySample("int64", changed(images=GREY[:, 0].astype(int)), words="scale: uint16 is for 16-bit integers",
                      settings={"scale": "uint16"})  # fmt: skip
    yield ArraySample("float64", changed(images=fraction), words="images is float64; expected uint8")
    for kind in ("float16", "float32", "float64", ">f4"):
        exact = np.rint(fraction.astype(kind).astype(float) * 255).astype(np.uint8)[:, None]
        yield ArraySample(f"{kind}, 0 to 1", changed(images=fraction.astype(kind)), exact, settings={"scale": [0, 1]})
    yield ArraySample(
        "float32, -1 to 1", changed(images=(fraction * 2 - 1).astype("f4")), GREY, settings={"scale": [-1, 1]}
    )
    holes = np.where(GREY[:, 0] > 250, np.nan, fraction)
    yield ArraySample("float64 with nan", changed(images=holes), words="nan or infinity", settings={"scale": [0, 1]})
    yield ArraySample("float64 with infinity", changed(images=np.where(GREY[:, 0] > 250, np.inf, fraction)),
                      words="nan or infinity", settings={"scale": [0, 1]})  # fmt: skip
    dark = GREY[:, 0] > 127
    yield ArraySample("bool", changed(images=dark), words="images is bool; expected uint8")
    yield ArraySample("bool", changed(images=dark), dark[:, None] * np.uint8(255), settings={"scale": [0, 1]})
    few = GREY[:, 0] // 16
    yield ArraySample("uint8, 0 to 15", changed(images=few), few[:, None] * np.uint8(17), settings={"scale": [0, 15]})
    yield ArraySample("complex128", changed(images=fraction * 1j), words="images is complex128; expected numbers")
    yield ArraySample("objects", changed(images=np.array([{}] * COUNT)), words="images holds pickled objects")


def _labels() -> Iterator[ArraySample]:
    hot = np.eye(3)[LABELS]
    animals = ("ant", "bee", "cat")
    for kind in ("uint8", "int8", ">i4", "int64", "uint64"):
        yield ArraySample(f"labels {kind}", changed(labels=LABELS.astype(kind)), GREY)
    yield ArraySample("labels as texts", changed(labels=TEXTS), GREY, names=animals)
    yield ArraySample("labels as bytes", changed(labels=TEXTS.astype("S")), GREY, names=animals)
    whole = np.array(["10", "2", "3", "3", "2", "10"])
    yield ArraySample("labels as texts of whole numbers", changed(labels=whole), GREY, names=("2", "3", "10"))
    order = np.array(["cat", "bee", "ant"])
    yield ArraySample("labels as texts, with class_names", changed(labels=TEXTS[[1, 0, 2, 2, 0, 1]], class_names=order),
                      GREY, names=tuple(order.tolist()))  # fmt: skip
    for kind in ("uint8", "bool", "float32"):
        yield ArraySample(f"labels as one-hot rows, {kind}", changed(labels=hot.astype(kind)), GREY)
    named = changed(labels=hot, class_names=np.array(animals))
    yield ArraySample("labels as one-hot rows, with class_names", named, GREY, names=animals)
    yield ArraySample("labels as probabilities", changed(labels=hot * 0.9 + 0.1 / 3), words="labels[0] is not one-hot")
    yield ArraySample(
        "labels of several classes", changed(labels=np.maximum(hot, hot[:, ::-1])), words="is not one-hot"
    )
    yield ArraySample("labels (N, 1)", changed(labels=LABELS[:, None]), words="a column of numbers is labels[:, 0]")
    yield ArraySample("labels (N, 3, 1)", changed(labels=hot[..., None]), words="labels is float64 (6, 3, 1); expected")
    yield ArraySample("labels float64", changed(labels=LABELS.astype(float)), words="labels is float64 (6,); expected")
    yield ArraySample("labels bool", changed(labels=LABELS > 0), words="labels is bool (6,); expected")
    yield ArraySample("labels from 1", changed(labels=LABELS + 1), words="from 1 to 3; expected all of 0 to 2")
    yield ArraySample("labels with a gap", changed(labels=LABELS * 2), words="from 0 to 4; expected all of 0 to 2")
    yield ArraySample("one label too few", changed(labels=LABELS[:-1]), words="labels is int64 (5,); expected 6")
    yield ArraySample("labels of one class", changed(labels=LABELS * 0), words="expected two classes or more")
    yield ArraySample(
        "an empty text as label", changed(labels=np.where(TEXTS == "ant", "", TEXTS)), words="labels[1] is an"
    )
    yield ArraySample("labels that look the same", changed(labels=np.where(TEXTS == "ant", "cat ", TEXTS)),
                      words="'cat' and 'cat ' look the same")  # fmt: skip
    latin = np.array([text.encode("latin-1") for text in ("caf\xe9", "ant", "bee", "bee", "ant", "cat")])
    yield ArraySample("labels as bytes, not UTF-8", changed(labels=latin), words="which is not UTF-8; write texts")
    yield ArraySample("labels as objects", changed(labels=TEXTS.astype(object)), words="labels holds pickled objects")
    missing = ("NA", "None", "nan")
    yield ArraySample("labels NA, None and nan as texts", changed(labels=np.array(missing * 2)), GREY, names=missing)


def _names() -> Iterator[ArraySample]:
    yield ArraySample("class_names", changed(class_names=np.array(["a", "b", "c"])), GREY, names=("a", "b", "c"))
    yield ArraySample(
        "class_names as bytes", changed(class_names=np.array([b"a", b"b", b"c"])), GREY, names=("a", "b", "c")
    )
    yield ArraySample("class_names, one too few", changed(class_names=np.array(["a", "b"])), words="one per class name")
    yield ArraySample("a text beyond class_names", changed(labels=TEXTS, class_names=np.array(["ant", "bee"])),
                      words="found the label 'cat'; allowed: the class names, ant, bee")  # fmt: skip
    yield ArraySample("x_train, y_train, as in Keras", {"x_train": GREY, "y_train": LABELS},
                      words="unknown array 'x_train'; did you mean 'images'? allowed: images, labels")  # fmt: skip
    yield ArraySample("arr_0, without names", {"arr_0": GREY, "arr_1": LABELS}, words="did you mean 'images'?")
    yield ArraySample("label for labels", {"images": GREY, "label": LABELS}, words="did you mean 'labels'?")
    yield ArraySample(
        "a further array", changed(weights=LABELS), words="unknown array 'weights'; allowed: images, labels"
    )
    yield ArraySample("no images", {"labels": LABELS}, words="no array 'images'; it holds labels")
    yield ArraySample("no labels", {"images": GREY}, words="labels is missing; expected 6 whole numbers")


def labelled() -> list[ArraySample]:
    """Those whose labels are texts or bytes."""
    return [sample for sample in samples() if sample.images is not None and sample.arrays["labels"].dtype.kind in "US"]
