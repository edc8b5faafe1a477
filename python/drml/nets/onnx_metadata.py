"""What an ONNX file of ours says of itself, in the text properties that ONNX has for it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from drml.data.labels import AU_NAMES
from drml.nets.shapes import shape_text

__all__ = ["PROBABILITIES", "SCORES", "Metadata"]

# The outputs' names.
PROBABILITIES = "probabilities"
SCORES = "scores"


@dataclass(frozen=True)
class Metadata:
    """The properties.

    Attributes
    ----------
    drml_version : str
    model : str
        Name of the net, such as DRML.
    weights_sha256 : str
        Digest of the weights file.
    aus : tuple of int
        The AUs of the outputs' columns.
    mean_folded : bool
        True: the file takes pixels of 0 to 255, and has mean image and scale inside. False: it takes what
        Caffe's net takes, ``(pixel - mean) * scale``.
    scale : float
        That factor, which the net was trained with.
    size : tuple of int
        Height and width of the input.
    face_size : tuple of int or None
        Height and width of the registered face of which the input is the middle; those of the mean image.
    """

    drml_version: str
    model: str
    weights_sha256: str
    aus: tuple[int, ...]
    mean_folded: bool
    scale: float
    size: tuple[int, int]
    face_size: tuple[int, int] | None

    @property
    def input(self) -> str:
        """What the input is, for the reader."""
        if self.mean_folded:
            values = "pixels of 0 to 255: mean image and scale are in the file"
        else:
            values = f"(pixel - mean) * {self.scale:.9g}, pixels of 0 to 255, with the mean of the training"
        middle = f", the middle of {shape_text(self.face_size)}" if self.face_size else ""
        return f"registered face, BGR, height x width {shape_text(self.size)}{middle}; {values}"

    def to_properties(self) -> dict[str, str]:
        """Return the properties as ONNX keeps them."""
        return {
            "drml_version": self.drml_version,
            "model": self.model,
            "weights_sha256": self.weights_sha256,
            "aus": ",".join(map(str, self.aus)),
            "au_names": json.dumps({f"AU{au}": AU_NAMES.get(au, "") for au in self.aus}),
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
            A property is not there; names it.
        ValueError
            One is not as `to_properties` writes it.
        """
        return cls(
            drml_version=properties["drml_version"],
            model=properties["model"],
            weights_sha256=properties["weights_sha256"],
            aus=tuple(int(au) for au in properties["aus"].split(",")),
            mean_folded=bool(json.loads(properties["mean_folded"])),
            scale=float(properties["scale"]),
            size=_pair(properties["size"]),
            face_size=_pair(properties["face_size"]) if "face_size" in properties else None,
        )


def _pair(text: str) -> tuple[int, int]:
    height, width = text.split("x")
    return int(height), int(width)
