"""The file of a saved fit: its parameters as safetensors, which holds no code, and what is needed to use them.

The metadata of safetensors has one entry, "archrunner": JSON with the keys of `Facts`. Tensors are in little-endian
order, one after another, by their names in `fits.records.Learned`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from runner.errors import RunnerError
from runner.files.own_files import opener
from runner.fits.preprocessing import Preprocess, Preprocessing
from runner.fits.records import FitSpec, Learned
from runner.text import is_name, printable

if TYPE_CHECKING:
    import numpy as np

    from runner.engines.saved_arrays import Form

FORMAT, SUFFIX = 1, ".safetensors"
DISTRIBUTION = KEY = "archrunner"
MOST_METADATA = 10_000_000
"""In characters: more than the description of a network takes."""
PREPROCESSING = "(preprocessing)/"
"""Before the names of the arrays that preprocess an image. A layer's have a dot after its path, as torch's have."""
Count = Annotated[int, Field(ge=1, lt=2**31)]
Number = Annotated[float, Field(allow_inf_nan=False)]
_DTYPES = {"float16": "F16", "float32": "F32", "float64": "F64"}


@dataclass(frozen=True)
class Facts:
    """What the file says beside the parameters.

    `repeat` and `fold` are counted from 0, as in the journal. `architecture` is the component with its parameters, and
    `network` the layers that it built; null for a plugin's own torch module, whose code has the hash `code`. `input` is
    [C, H, W]. A raw image of bytes is divided by 255; then `mean` is subtracted from each channel, which is divided by
    `deviation`. With `preprocess` that is done instead; what was fitted for it is in the arrays that `PREPROCESSING`
    begins. The fit was trained, and is evaluated, at `place` (from 0) among `together` fits.
    """

    format: int
    archrunner: str
    study: str
    fit: str
    cell: str
    repeat: int
    fold: int
    architecture: dict[str, Any]
    network: dict[str, Any] | None
    code: str
    input: Annotated[tuple[Count, Count, Count], Field()]
    class_names: Annotated[list[str], Field(min_length=2, max_length=1_000_000)]
    mean: list[Number]
    deviation: list[Number]
    engine: str
    device: str
    precision: str
    together: Annotated[int, Field(ge=1, le=100_000)] = 1
    place: Annotated[int, Field(ge=0)] = 0
    preprocess: Preprocess | None = None

    @classmethod
    def of(cls, spec: FitSpec, learned: Learned, study: str, class_names: list[str], code: str) -> Facts:
        """Those of a fit that has just ended."""
        training = spec.training
        return cls(
            FORMAT,
            version(DISTRIBUTION),
            study,
            spec.id,
            spec.cell,
            spec.repeat,
            spec.fold,
            spec.architecture.to_dict(),
            learned.network,
            code,
            spec.shape,
            class_names,
            list(learned.mean),
            list(learned.deviation),
            training.engine,
            training.device,
            training.precision,
            learned.together,
            learned.place,
            learned.preprocessing.kind if learned.preprocessing else None,
        )

    def text(self) -> str:
        # Files of networks without preprocessing have the text that they have always had.
        content = {key: value for key, value in asdict(self).items() if key != "preprocess" or value}
        return json.dumps(content, ensure_ascii=False, separators=(",", ":"))


def path_of(folder: Path, fit: str) -> Path:
    """The file of a fit in a report's `folder`."""
    return folder / "fits" / f"{fit}{SUFFIX}"


def arrays_of_fit(learned: Learned) -> dict[str, np.ndarray]:
    """All arrays of the file: the parameters, and those of the preprocessing."""
    fitted = learned.preprocessing.arrays if learned.preprocessing else {}
    return learned.arrays | {f"{PREPROCESSING}{name}": array for name, array in fitted.items()}


def forms_of_preprocessing(facts: Facts) -> dict[str, Form]:
    """The types and shapes of the arrays that preprocess an image, by name."""
    if facts.preprocess != "zca":
        return {}
    dtype, numbers = "float64" if facts.precision == "float64" else "float32", math.prod(facts.input)
    return {f"{PREPROCESSING}mean": (dtype, (numbers,)), f"{PREPROCESSING}matrix": (dtype, (numbers, numbers))}


def split_preprocessing(
    facts: Facts, arrays: Mapping[str, np.ndarray]
) -> tuple[dict[str, np.ndarray], Preprocessing | None]:
    """The parameters of the network, and what preprocesses its images; raises ValueError if that is not complete."""
    forms = forms_of_preprocessing(facts)
    fitted = {name: array for name, array in arrays.items() if name.startswith(PREPROCESSING)}
    if {name: (str(array.dtype), array.shape) for name, array in fitted.items()} != forms:
        raise ValueError("its preprocessing is not complete, or not for its images")
    parameters = {name: array for name, array in arrays.items() if name not in fitted}
    if facts.preprocess is None:
        return parameters, None
    return parameters, Preprocessing(
        facts.preprocess, **{name.removeprefix(PREPROCESSING): array for name, array in fitted.items()}
    )


def encode(facts: Facts, arrays: Mapping[str, np.ndarray]) -> bytes:
    """The content of the file."""
    from safetensors.numpy import save

    # One key: with several their order, and so the bytes of the file, would differ from one process to the next.
    return save(dict(arrays), {KEY: facts.text()})


def size(facts: Facts, shapes: Mapping[str, tuple[str, tuple[int, ...]]]) -> int:
    """The length of the file in bytes, for arrays of these types, as NumPy names them, and shapes."""
    header: dict[str, Any] = {"__metadata__": {KEY: facts.text()}}
    end = 0
    for name, (dtype, shape) in sorted(shapes.items()):  # as safetensors lays them out, which the offsets' digits show
        start, end = end, end + math.prod(shape) * int("".join(filter(str.isdigit, dtype)) or 8) // 8
        header[name] = {"dtype": _DTYPES.get(dtype, "BOOL"), "shape": shape, "data_offsets": [start, end]}
    length = len(json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode())
    return 8 + -(-length // 8) * 8 + end


@contextmanager
def reading(path: Path) -> Iterator[Any]:
    """The file as safetensors opens it; raises RunnerError, in one line, for any file that is not a saved network."""
    from safetensors import SafetensorError, safe_open

    try:
        # Refuses links and pipes, which `safe_open` would follow or wait for.
        with open(path, "rb", opener=opener), safe_open(path, "numpy") as file:
            yield file
    except FileNotFoundError:
        raise RunnerError(f"{path}: no such file; the parameters of this fit are not saved") from None
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        reason = printable(str(error).partition("\n")[0] or type(error).__name__)
        raise RunnerError(f"{path}: not a network that this version can read ({reason})") from None


def read_facts(file: Any) -> Facts:
    """The facts in an open file; raises ValueError if there are none, or if they contradict themselves."""
    text = (file.metadata() or {}).get(KEY)
    if text is None or len(text) > MOST_METADATA:
        raise ValueError("its metadata are not those of archrunner")
    try:
        content = json.loads(text)
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise ValueError(f"its format is not {FORMAT}")
        facts: Facts = TypeAdapter(Facts).validate_python(content)
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    if not all(map(is_name, (*facts.class_names, facts.study))):
        raise ValueError("a name in it has control characters")
    channels = facts.input[0]
    if len(facts.mean) != channels or len(facts.deviation) != channels or 0 in facts.deviation:
        raise ValueError("its normalisation is not one mean and deviation other than 0 per channel")
    if facts.place >= facts.together:
        raise ValueError("its place is not among the fits that were trained together")
    return facts


def read_arrays(file: Any, shapes: Mapping[str, tuple[str, tuple[int, ...]]] | None) -> dict[str, np.ndarray]:
    """The arrays in an open file; `shapes` are those expected, compared before an array is read; None if unknown."""
    from runner.engines.saved_arrays import refuse_differing

    names = list(file.keys())
    if shapes is not None:
        known = {code: name for name, code in _DTYPES.items()}
        slices = {name: file.get_slice(name) for name in names}
        found = {n: (known.get(s.get_dtype(), s.get_dtype()), tuple(s.get_shape())) for n, s in slices.items()}
        refuse_differing(shapes, found)
    return {name: file.get_tensor(name) for name in names}
