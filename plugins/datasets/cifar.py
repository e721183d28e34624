"""CIFAR-10 and CIFAR-100: 60,000 colour photographs of 32x32 pixels each, from the files of their Python versions.

Source: Krizhevsky 2009, "Learning Multiple Layers of Features from Tiny Images". MD5 sums as published by torchvision.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from runner.api import Dataset, ImageData, hookimpl

from .batches import BatchDataset
from .files import PublishedFile

HOME = ("https://www.cs.toronto.edu/~kriz/",)
CITATION = "Krizhevsky 2009, Learning Multiple Layers of Features from Tiny Images"

FINE = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can castle
caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant flatfish
forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle
mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine
possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake spider squirrel streetcar
sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle wardrobe whale
willow_tree wolf woman worm
"""

COARSE = """
aquatic_mammals fish flowers food_containers fruit_and_vegetables household_electrical_devices household_furniture
insects large_carnivores large_man-made_outdoor_things large_natural_outdoor_scenes large_omnivores_and_herbivores
medium_mammals non-insect_invertebrates people reptiles small_mammals trees vehicles_1 vehicles_2
"""

CIFAR10 = BatchDataset(
    name="cifar10",
    folder="cifar-10-batches-py",
    archive=PublishedFile("cifar-10-python.tar.gz", "c58f30108f718f92721af3b95e74349a", HOME),
    train={
        "data_batch_1": "c99cafc152244af753f735de768cd75f",
        "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
        "data_batch_4": "634d18415352ddfa80567beed471001a",
        "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    },
    test={"test_batch": "40351d587109b95175f43aff81a1287e"},
    labels="labels",
    class_names=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    citation=CITATION,
)


def cifar100_set(labels: str) -> BatchDataset:
    """CIFAR-100 with its "fine" (100) or "coarse" (20) labels."""
    return BatchDataset(
        name="cifar100",
        folder="cifar-100-python",
        archive=PublishedFile("cifar-100-python.tar.gz", "eb9058c3a382ffc7106e4002c42a8d85", HOME),
        train={"train": "16019d7e3df5f24257cddd939b257f8d"},
        test={"test": "f0ef6b0ae62326f3e7ffdfab6717acfc"},
        labels=f"{labels}_labels",
        class_names=tuple((FINE if labels == "fine" else COARSE).split()),
        citation=CITATION,
    )


def cifar10(*, root: str | None = None) -> ImageData:
    """Photographs of 10 classes. `root`: the folder that holds cifar-10-batches-py; without it, downloaded once."""
    return CIFAR10.data(root)


def cifar100(*, root: str | None = None, labels: Literal["fine", "coarse"] = "fine") -> ImageData:
    """Photographs of 100 fine or 20 coarse classes. `root`: the folder that holds cifar-100-python, as in cifar10."""
    return cifar100_set(labels).data(root)


@hookimpl
def register_datasets() -> Iterable[Dataset]:
    yield Dataset(name="cifar10", build=cifar10)
    yield Dataset(name="cifar100", build=cifar100)
