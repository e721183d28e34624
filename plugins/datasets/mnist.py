"""MNIST and Fashion-MNIST: 70,000 grey images of 28x28 pixels each, from their authors' idx files.

MD5 sums: those of the packed files are the ones torchvision publishes; those of the unpacked files were computed from
files that match them.
"""

from __future__ import annotations

from collections.abc import Iterable

from runner.api import Dataset, ImageData, hookimpl

from .idx import IdxDataset

MNIST = IdxDataset(
    name="mnist",
    folder="MNIST/raw",
    base_urls=(
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
    ),
    md5={
        "train-images-idx3-ubyte": ("f68b3c2dcbeaaa9fbdd348bbdeb94873", "6bbc9ace898e44ae57da46a324031adb"),
        "train-labels-idx1-ubyte": ("d53e105ee54ea40749a09fcbcd1e9432", "a25bea736e30d166cdddb491f175f624"),
        "t10k-images-idx3-ubyte": ("9fb629c4189551a2d022fa330f9573f3", "2646ac647ad5339dbf082846283269ea"),
        "t10k-labels-idx1-ubyte": ("ec29112dd5afa0611ce80d1b7f02629c", "27ae3e4e09519cfbb04c329615203637"),
    },
    class_names=tuple("0123456789"),
    licence="CC BY-SA 3.0",
    citation="LeCun, Bottou, Bengio and Haffner 1998, Gradient-based learning applied to document recognition",
)

FASHION_MNIST = IdxDataset(
    name="fashion-mnist",
    folder="FashionMNIST/raw",
    base_urls=("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",),
    md5={
        "train-images-idx3-ubyte": ("8d4fb7e6c68d591d4c3dfef9ec88bf0d", "f4a8712d7a061bf5bd6d2ca38dc4d50a"),
        "train-labels-idx1-ubyte": ("25c81989df183df01b3e8a0aad5dffbe", "9018921c3c673c538a1fc5bad174d6f9"),
        "t10k-images-idx3-ubyte": ("bef4ecab320f06d8554ea6380940ec79", "8181f5470baa50b63fa0f6fddb340f0a"),
        "t10k-labels-idx1-ubyte": ("bb300cfdad3c16e7a12a480ee83cd310", "15d484375f8d13e6eb1aabb0c3f46965"),
    },
    class_names=(
        "T-shirt/top",
        "trouser",
        "pullover",
        "dress",
        "coat",
        "sandal",
        "shirt",
        "sneaker",
        "bag",
        "ankle boot",
    ),
    licence="MIT",
    citation="Xiao, Rasul and Vollgraf 2017, Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning "
    "Algorithms, arXiv:1708.07747",
)


def mnist(*, root: str | None = None) -> ImageData:
    """Handwritten digits. `root`: the folder that holds MNIST/raw; without it, the files are downloaded once."""
    return MNIST.data(root)


def fashion_mnist(*, root: str | None = None) -> ImageData:
    """Clothes. `root`: the folder that holds FashionMNIST/raw; without it, the files are downloaded once."""
    return FASHION_MNIST.data(root)


@hookimpl
def register_datasets() -> Iterable[Dataset]:
    yield Dataset(name="mnist", build=mnist)
    yield Dataset(name="fashion-mnist", build=fashion_mnist)
