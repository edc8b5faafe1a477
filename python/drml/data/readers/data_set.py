"""What a data set that can be prepared consists of: its reader, its options and what is particular to it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drml.data.readers.fold_choice import FoldChoice
from drml.data.readers.fold_lists import FoldLists, shipped_list
from drml.data.readers.published import Published
from drml.io.errors import UsageError, UserError

if TYPE_CHECKING:
    from drml.data.readers import Scan

__all__ = ["DataSet", "Option"]


@dataclasses.dataclass(frozen=True)
class Option:
    """An option of one data set's reader, in Python and on the command line.

    Attributes
    ----------
    name : str
        A keyword of the reader, such as ``first_frame``; on the command line ``--first-frame``.
    type : callable
        Turns the text of the command line into a value: ``int``, ``float``, ``str``, ``Path``; ``bool`` makes
        a flag.
    help : str
        One line of help.
    default : object
        The value if the option is not given.
    choices : tuple
        The allowed values; empty if there is no such limit.
    written : str
        The option on the command line without its dashes, if that is not its name.
    ask : str
        Why the value has to be given for real data; empty if the default will do.
    """

    name: str
    type: Callable[[str], Any]
    help: str
    default: Any = None
    choices: tuple[Any, ...] = ()
    written: str = ""
    ask: str = ""

    @property
    def flag(self) -> str:
        """The option as written on the command line."""
        return f"--{self.written or self.name.replace('_', '-')}"

    def check(self, value: Any) -> None:
        """Raise `UserError` if `value` is not allowed; the default always is."""
        if self.choices and value != self.default and value not in self.choices:
            raise UserError(f"{self.name} {value!r}: choose one of {', '.join(map(str, self.choices))}")


@dataclasses.dataclass(frozen=True)
class DataSet:
    """A data set that can be prepared: its reader, and what is particular to it.

    Attributes
    ----------
    reader : callable
        ``reader(root, *, aus, progress, **options) -> Scan``, with the keywords that `options` names.
    folds : tuple of tuple of str, or None
        The test subjects of each fold; None for the first of `fold_lists`, or, if there is none, for folds
        drawn at random by the seed.
    aus : tuple of int, or None
        The AUs to read unless others are asked for; None: all that the data have.
    positives, negatives : int, or None
        How many training frames to sample for each AU and video; None: all.
    options : tuple of Option
        The options of the reader.
    coding : str
        What the labels mean, for captions of tables and recipes; ``{name}`` stands for the value of an
        option.
    other_codings : mapping of str to str
        Option -> what the labels mean instead, as `coding`, if a value of this option is given.
    title : str
        Name of the data set, for readers.
    has_landmarks : bool
        Whether the data set has landmark files of its own. Its reader then takes the keyword `landmarks`;
        with ``landmarks=False`` it does without these files, and its records have none.
    ordered : bool
        Whether the records of a video follow each other in time. Images of a list do not.
    known_faults : str, or None
        File of this package that lists frames known to be bad, which ``--exclude known`` leaves out.
    fold_lists : tuple of str
        The lists of folds that ship with drml for this data set (`drml.data.readers.fold_lists`).
    published : Published or None
        What is published about the data set, to hold a copy against.
    signs : tuple of str
        Names of folders by which a copy is recognised, in lower case.
    levels : bool
        Whether the data set has intensities. Its reader then takes the keyword `levels`; with
        ``levels=True``, the labels are intensities of 0 to 5, or 9 for unknown.
    intensity_aus : tuple of int, or None
        The AUs whose intensity the data set codes; None: all that the data have.
    level_coding : str
        What the intensities are, for captions of tables and recipes.
    """

    reader: Callable[..., Scan]
    folds: tuple[tuple[str, ...], ...] | None = None
    aus: tuple[int, ...] | None = None
    positives: int | None = None
    negatives: int | None = None
    options: tuple[Option, ...] = ()
    coding: str = "as the data set's reader gives them"
    other_codings: Mapping[str, str] = dataclasses.field(default_factory=dict)
    title: str = "own data"
    has_landmarks: bool = False
    ordered: bool = True
    known_faults: str | None = None
    fold_lists: tuple[str, ...] = ()
    published: Published | None = None
    signs: tuple[str, ...] = ()
    levels: bool = False
    intensity_aus: tuple[int, ...] | None = None
    level_coding: str = "intensities"

    def choose_folds(
        self, folds: Sequence[int] | str | None = None, folds_file: str | Path | None = None
    ) -> FoldChoice:
        """Check which folds the user asked for; parameters and errors as in `FoldChoice.of`."""
        own = None
        if self.folds is not None:
            own = FoldLists("those of the data set", self.folds)
        elif self.fold_lists:
            own = shipped_list(self.fold_lists[0])
        return FoldChoice.of(folds, folds_file, own=own, shipped=self.fold_lists)

    def check_options(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Check the reader's options and fill in defaults.

        Raises
        ------
        UserError
            There is no option of this name, or its value is not allowed.
        """
        known = {option.name: option for option in self.options}
        for name, value in options.items():
            if name not in known:
                raise UserError(f"option {name}: this data set has {', '.join(known) or 'no options'}")
            known[name].check(value)
        return {name: options.get(name, option.default) for name, option in known.items()}

    def check_asked(self, options: Mapping[str, Any]) -> None:
        """Raise `UsageError` if `options` lacks a value that must be given for real data."""
        for option in self.options:
            if option.ask and options.get(option.name) is None:
                raise UsageError(f"{option.name} is not given ({option.flag}): {option.ask}")

    def read(
        self,
        root: Path | str,
        *,
        levels: bool = False,
        landmarks: bool = True,
        progress: bool = False,
        **options: Any,
    ) -> Scan:
        """Read the data set from disk.

        Parameters
        ----------
        root : path-like
            The data set's folder, or the file that lists its images.
        levels : bool, keyword-only
            Read intensities instead of occurrences.
        landmarks : bool, keyword-only
            Read the data set's landmark files, if it has any. If not, its records have no landmarks.
        progress : bool, keyword-only
            Show a progress bar.
        **options
            ``aus``, the AUs to read, and the options of the reader.

        Returns
        -------
        Scan

        Raises
        ------
        UserError
            An option or a file is at fault.
        """
        aus = options.pop("aus", None)
        checked = self.check_options(options)
        if self.has_landmarks:
            checked["landmarks"] = landmarks
        if levels:
            checked["levels"] = True
            aus = self.intensity_aus if aus is None else aus
        return self.reader(root, aus=self.aus if aus is None else aus, progress=progress, **checked)

    def describe_labels(self, options: Mapping[str, Any]) -> str:
        """Say what the labels mean, given the values of the reader's options.

        Examples
        --------
        >>> from drml.data.readers.kinds import DATA_SETS
        >>> DATA_SETS["bp4d"].describe_labels({})
        "BP4D's occurrence codes: 1 is present (+1), 0 absent (-1), 9 unknown (0)"
        """
        values = {option.name: option.default for option in self.options} | dict(options)
        texts = [text for name, text in self.other_codings.items() if values.get(name) is not None]
        text = (texts or [self.coding])[0].format_map(values)
        return f"{text}; {values['unknown']} unknown (0), too" if values.get("unknown") else text
