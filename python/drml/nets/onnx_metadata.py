"""The metadata of the files of ``drml export-onnx``, in ONNX's text properties."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from drml.data.recipe import Recipe
from drml.nets.recipe import RECIPE, recipe_properties
from drml.nets.shapes import shape_text

__all__ = ["INTENSITIES", "PROBABILITIES", "SCORES", "Metadata"]

# The outputs' names.
PROBABILITIES = "probabilities"
SCORES = "scores"
INTENSITIES = "intensities"


@dataclass(frozen=True)
class Metadata:
    """The metadata of an exported net.

    Attributes
    ----------
    drml_version : str
    model : str
        Name of the net, such as DRML.
    weights_sha256 : str
        Digest of the weights file.
    aus : tuple of int
        The AUs of the columns of probabilities and scores; empty if the net only estimates intensities.
    recipe : Recipe or None
        The recipe of the net, with the mean image unless `mean_folded`; None in files of older versions,
        whose AUs may have been guessed.
    mean_folded : bool
        If True, the file takes pixels of 0 to 255 and contains mean image and scale; if False, it takes what
        Caffe's net takes: ``(pixel - mean) * scale``.
    scale : float
        The scale that the net was trained with.
    size : tuple of int
        Height and width of the input.
    face_size : tuple of int or None
        Height and width of the registered face, the middle of which is the input: the size of the mean image.
    """

    drml_version: str
    model: str
    weights_sha256: str
    aus: tuple[int, ...]
    recipe: Recipe | None
    mean_folded: bool
    scale: float
    size: tuple[int, int]
    face_size: tuple[int, int] | None

    @property
    def intensity_aus(self) -> tuple[int, ...]:
        """The AUs of the columns of intensities; empty if the net only tells whether an AU occurs."""
        return () if self.recipe is None else self.recipe.intensity_au

    @property
    def outputs(self) -> dict[str, tuple[int, ...]]:
        """The AUs of the columns of each output, by the output's name."""
        found = {PROBABILITIES: self.aus, SCORES: self.aus, INTENSITIES: self.intensity_aus}
        return {name: aus for name, aus in found.items() if aus}

    @property
    def input(self) -> str:
        """A description of the input, as text for the user."""
        if self.mean_folded:
            values = "pixels of 0 to 255: mean image and scale are in the file"
        else:
            values = f"(pixel - mean) * {self.scale:.9g}, pixels of 0 to 255, with the mean of the training"
        middle = f", the middle of {shape_text(self.face_size)}" if self.face_size else ""
        return f"registered face, BGR, height x width {shape_text(self.size)}{middle}; {values}"

    def to_properties(self) -> dict[str, str]:
        """Return the properties in the form that ONNX stores."""
        return {
            "drml_version": self.drml_version,
            "model": self.model,
            "weights_sha256": self.weights_sha256,
            **recipe_properties(self.recipe or Recipe(au=self.aus)),
            "input": self.input,
            "channels": "BGR",
            "mean_folded": json.dumps(self.mean_folded),
            "scale": repr(self.scale),
            "size": shape_text(self.size),
            **({"face_size": shape_text(self.face_size)} if self.face_size else {}),
        }

    @classmethod
    def from_properties(cls, properties: Mapping[str, str]) -> Metadata:
        """Read what `to_properties` gave.

        Raises
        ------
        KeyError
            A property is missing; the argument is its name.
        ValueError
            A property does not have the form that `to_properties` writes.
        """
        return cls(
            drml_version=properties["drml_version"],
            model=properties["model"],
            weights_sha256=properties["weights_sha256"],
            aus=tuple(int(au) for au in properties["aus"].split(",") if properties["aus"]),
            recipe=Recipe.from_text(properties[RECIPE]) if RECIPE in properties else None,
            mean_folded=bool(json.loads(properties["mean_folded"])),
            scale=float(properties["scale"]),
            size=_pair(properties["size"]),
            face_size=_pair(properties["face_size"]) if "face_size" in properties else None,
        )


def _pair(text: str) -> tuple[int, int]:
    height, width = text.split("x")
    return int(height), int(width)
