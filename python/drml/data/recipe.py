"""The recipe of a net: how its input is made, what its outputs are, and how it was trained.

``drml prepare`` writes what it knows as ``recipe.prototxt`` next to the LMDBs of a fold
(`drml.data.recipe_text`). Caffe reads it from there when it trains a net on them, completes it, and stores
it with the weights (see ``caffe_ext/recipe/recipe.hpp`` and `drml.nets.recipe`). Neither Caffe nor LMDB is
needed here.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from google.protobuf import text_format
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from drml.data.labels import is_au
from drml.io import messages
from drml.io.limits import LABELS

__all__ = [
    "DataRecipe",
    "InputRecipe",
    "Recipe",
    "RegistrationRecipe",
    "TrainingRecipe",
    "with_aus",
]


@dataclass(frozen=True, eq=False)
class InputRecipe:
    """How a registered face becomes the input of a net: its middle, ``(pixel - mean) * scale``.

    Attributes
    ----------
    channels : str or None
        Order of the channels: ``"BGR"``, which is also what None means.
    face_size : int or None
        Side of the registered faces in pixels.
    crop_size : int or None
        Side of the input in pixels; 0 for the whole face.
    scale : float or None
        Factor of the pixels after the mean is subtracted; None means 1.
    mean_value : tuple of float
        One value for each channel, in grey levels of 0 to 255; empty if there is none.
    mean : ndarray of float32, C x H x W, or None
        The mean image. At most one of `mean_value` and `mean` is set.
    """

    channels: str | None = None
    face_size: int | None = None
    crop_size: int | None = None
    scale: float | None = None
    mean_value: tuple[float, ...] = ()
    mean: NDArray[np.float32] | None = None

    __hash__: ClassVar[None]  # type: ignore[assignment]  # not hashable, since it has an array

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, InputRecipe):
            return NotImplemented
        if (self.mean is None) != (other.mean is None):
            return False
        same = self.mean is None or other.mean is None or np.array_equal(self.mean, other.mean)
        names = [one.name for one in dataclasses.fields(self) if one.name != "mean"]
        return bool(same) and all(getattr(self, name) == getattr(other, name) for name in names)


@dataclass(frozen=True)
class RegistrationRecipe:
    """How a face in a photo becomes a registered one. Coordinates are fractions of the face's side.

    Attributes
    ----------
    points : str or None
        The points by which faces were registered: ``"49 landmarks"`` or ``"5 points"`` of the data set,
        ``"detector"`` (the points that `detector` finds), or ``"none"`` (faces were only resized).
    detector : str or None
        The face detector, and the landmark model if it was used, that found points.
    target : tuple of float
        x and y of each point to which `points` were brought.
    detector_target : tuple of float
        Where the points that `detector` finds, 49 or five, lie in the registered training faces, on average:
        x and y of each.
    """

    points: str | None = None
    detector: str | None = None
    target: tuple[float, ...] = ()
    detector_target: tuple[float, ...] = ()


@dataclass(frozen=True)
class DataRecipe:
    """The data that a net was trained on.

    Attributes
    ----------
    name : str or None
        Name of the data set, such as ``"BP4D"``.
    split : str or None
        The part of it, such as ``"fold 1 of 3"``.
    digest : str or None
        Digest of the training records, which does not depend on where they are stored.
    records : int or None
        Number of training records.
    sampling : str or None
        Which frames and labels were drawn, in words.
    """

    name: str | None = None
    split: str | None = None
    digest: str | None = None
    records: int | None = None
    sampling: str | None = None


@dataclass(frozen=True)
class TrainingRecipe:
    """How a net was trained; Caffe fills this in with each snapshot.

    Attributes
    ----------
    iterations : int or None
    images : int or None
        Number of images that the net has seen, over all ranks.
    solver : str or None
        The solver's settings that decide what is learned, as text of a ``SolverParameter``.
    start : str or None
        The weights from which the training started, if they were not drawn at random.
    """

    iterations: int | None = None
    images: int | None = None
    solver: str | None = None
    start: str | None = None


@dataclass(frozen=True)
class Recipe:
    """What must be known of a net to use it. Fields are those of the message ``Recipe`` in caffe.proto.

    Attributes
    ----------
    au : tuple of int, length K
        The action units of the outputs that tell whether one is present, in order.
    labels : str or None
        When an AU counts as present in the training data, in words.
    threshold : tuple of float, length K or 0
        The probability from which each AU counts as present; empty means .5 for all.
    threshold_data : str or None
        The data on which `threshold` was chosen.
    input : InputRecipe
    registration : RegistrationRecipe
    data : DataRecipe
    training : TrainingRecipe
    program : tuple of str
        The programs that made the data and trained the net, each with its version.
    intensity_au : tuple of int, length L
        The action units whose intensity, from 0 (absent) to 5, the net estimates, in the order of those
        outputs; empty if it only tells whether an AU is present.

    Examples
    --------
    >>> recipe = Recipe(au=(1, 2, 4), data=DataRecipe(name="BP4D", split="fold 1 of 3"))
    >>> recipe.au, recipe.data.name, recipe.input.scale
    ((1, 2, 4), 'BP4D', None)
    """

    au: tuple[int, ...] = ()
    labels: str | None = None
    threshold: tuple[float, ...] = ()
    threshold_data: str | None = None
    input: InputRecipe = field(default_factory=InputRecipe)
    registration: RegistrationRecipe = field(default_factory=RegistrationRecipe)
    data: DataRecipe = field(default_factory=DataRecipe)
    training: TrainingRecipe = field(default_factory=TrainingRecipe)
    program: tuple[str, ...] = ()
    intensity_au: tuple[int, ...] = ()

    def to_message(self) -> Any:
        """Return the recipe as the message ``Recipe`` of `drml.io.messages`.

        Raises
        ------
        ValueError
            A value is not possible; see `from_message`.
        """
        for fault in _faults(self):
            raise ValueError(fault)
        message = messages.Recipe()
        _fill(message, self)
        return message

    @classmethod
    def from_message(cls, message: Any) -> Recipe:
        """Read a recipe from a message ``Recipe``, of `drml.io.messages` or of Caffe.

        Raises
        ------
        ValueError
            A value is not possible: an AU appears twice, a number is not finite, there are not as many
            thresholds as AUs, or the mean image is damaged.
        """
        recipe: Recipe = _read(cls, message)
        for fault in _faults(recipe):
            raise ValueError(fault)
        return recipe

    def to_bytes(self) -> bytes:
        """Return the recipe in protobuf's binary form; errors are those of `to_message`."""
        return bytes(self.to_message().SerializeToString(deterministic=True))

    @classmethod
    def from_bytes(cls, content: bytes) -> Recipe:
        """Read what `to_bytes` returned; errors are those of `from_message`, also for other content."""
        try:
            message = messages.Recipe.FromString(content)
        except DecodeError:
            raise ValueError("not a recipe, or cut short") from None
        return cls.from_message(message)

    def to_text(self) -> str:
        """Return the recipe in protobuf's text form; errors are those of `to_message`."""
        return str(text_format.MessageToString(self.to_message(), as_utf8=True))

    @classmethod
    def from_text(cls, text: str) -> Recipe:
        """Read what `to_text` returned; errors are those of `from_message`, also for other text."""
        try:
            message = text_format.Parse(text, messages.Recipe())
        except (text_format.ParseError, RecursionError) as error:
            raise ValueError(f"line {error}") from None
        return cls.from_message(message)


def with_aus(recipe: Recipe, aus: Sequence[int], intensity_aus: Sequence[int] | None = None) -> Recipe:
    """Return a recipe with other AUs; thresholds and labels' meaning, which belong to the AUs, are left out.

    If the AUs are those of the recipe, it is returned as it is. `intensity_aus` are those of the outputs of
    intensities; None keeps them.
    """
    if intensity_aus is not None:
        recipe = dataclasses.replace(recipe, intensity_au=tuple(intensity_aus))
    if recipe.au == tuple(aus):
        return recipe
    return dataclasses.replace(recipe, au=tuple(aus), labels=None, threshold=(), threshold_data=None)


def _fill(message: Any, values: Any) -> None:
    """Copy the fields of a dataclass that are set into a message with fields of the same names."""
    for one in dataclasses.fields(values):
        value = getattr(values, one.name)
        if isinstance(value, np.ndarray):
            getattr(message, one.name).CopyFrom(messages.blob_of_array(value))
        elif dataclasses.is_dataclass(value):
            kind: Any = type(value)
            if value != kind():
                _fill(getattr(message, one.name), value)
        elif isinstance(value, tuple):
            getattr(message, one.name).extend(value)
        elif value is not None:
            setattr(message, one.name, value)


_PARTS: dict[str, type] = {
    "input": InputRecipe,
    "registration": RegistrationRecipe,
    "data": DataRecipe,
    "training": TrainingRecipe,
}


def _read(kind: Any, message: Any) -> Any:
    """Make a dataclass from the fields of a message that are set."""
    values: dict[str, Any] = {}
    for one, value in message.ListFields():
        if one.name == "mean":
            values[one.name] = messages.array_of_blob(value)
        elif kind is Recipe and one.name in _PARTS:
            values[one.name] = _read(_PARTS[one.name], value)
        elif one.name in {known.name for known in dataclasses.fields(kind)}:
            values[one.name] = tuple(value) if one.is_repeated else value
    return kind(**values)


def _faults(recipe: Recipe) -> Iterator[str]:
    """Say what is not possible in a recipe."""
    count = len(recipe.au)
    for aus in (recipe.au, recipe.intensity_au):
        if len(aus) > LABELS or len(set(aus)) != len(aus) or not all(is_au(str(au)) for au in aus):
            yield "its AUs are not a list of different AU numbers"
    if len(recipe.threshold) not in (0, count):
        yield f"{len(recipe.threshold)} thresholds for {count} AUs"
    place, made = recipe.registration, recipe.input
    mean = () if made.mean is None else (float(np.sum(made.mean, dtype=np.float64)),)
    scale = 1.0 if made.scale is None else made.scale
    numbers = (*recipe.threshold, *place.target, *place.detector_target, *made.mean_value, *mean, scale)
    if not all(map(math.isfinite, numbers)) or scale == 0:
        yield "a number in it is not finite, or its scale is 0"
    if len(place.target) % 2 or len(place.detector_target) % 2:
        yield "its registration's target is not a list of x and y"
    if made.mean_value and made.mean is not None:
        yield "it has both a mean image and mean values"
    if made.channels not in (None, "BGR"):
        yield f"its channels are {made.channels!r}; only BGR is supported"
