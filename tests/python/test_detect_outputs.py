"""The files of drml detect: none replaces another one or an input, whatever the sources are called."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from drml.detect.output_paths import face_file
from drml.detect.outputs import Outputs
from drml.detect.sources import Source, find_sources
from drml.io.errors import UserError


def sources_of(folder: Path, *names: str) -> list[Source]:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return find_sources([str(folder)])


def files_of(outputs: Outputs, source: Source) -> set[Path]:
    """List by brute force the files of a source with three faces, in up to three frames."""
    names = outputs.names(source)
    frames = (1, 2, 1_234_567) if source.kind != "image" else (1,)
    found = {names.table} if source.kind != "image" else set()
    found |= {names.drawn} if names.drawn else set()
    if names.faces:
        found |= {names.faces / face_file(source, frame, face) for frame in frames for face in range(3)}
    return {path.resolve() for path in found}


NAMES = (
    "images.mp4",
    "x.mp4",
    "x/000001.png",
    "x/000001_face_1.png",
    "x/1234567.jpg",
    "x/12.png",
    "a.jpg",
    "a_face_0.png",
    "a_face_0_face_2.png",
    "a_face_12.mp4",
)


@pytest.mark.parametrize("given", [NAMES, NAMES[::-1]])
@pytest.mark.parametrize("places", [("o", "o", "o"), ("o", "p", "q"), ("o", "link", "o"), ("o", None, "o")])
def test_no_two_sources_share_a_file(
    tmp_path: Path, given: tuple[str, ...], places: tuple[str | None, ...]
) -> None:
    (tmp_path / "o").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "o")
    out, draw, aligned = (tmp_path / place if place else None for place in places)
    assert out is not None
    sources_of(tmp_path / "in", *given)
    found = find_sources([str(tmp_path / "in" / name) for name in given])
    # As of one folder, so that the stems are paths.
    stems = [name.rsplit(".", 1)[0] for name in given]
    found = [Source(one.name, one.kind, stem) for one, stem in zip(found, stems, strict=True)]
    outputs = Outputs(out, draw, aligned)
    settled, faults = outputs.prepare(found)
    assert not faults and [one.name for one in settled] == [one.name for one in found]
    for one, other in itertools.combinations(settled, 2):
        assert not files_of(outputs, one) & files_of(outputs, other), (one, other)
    assert all(outputs.out / "images.csv" not in files_of(outputs, one) for one in settled)


def test_names_that_collide_with_nothing_stay(tmp_path: Path) -> None:
    found = sources_of(tmp_path / "in", "b.jpg", "c.mp4", "c/1.jpg", "d_face_1.png", "d_face_2.png")
    outputs = Outputs(tmp_path / "o", tmp_path / "o", tmp_path / "o")
    assert outputs.prepare(found)[0] == found


def test_an_input_is_never_replaced(tmp_path: Path) -> None:
    found = sources_of(tmp_path / "in", "a.jpg", "a_face_3.png", "v.mp4", "v/000004_face_0.png")
    alias = tmp_path / "alias"
    alias.symlink_to(tmp_path / "in")
    out = tmp_path / "o"
    refused = {
        "a.jpg": Outputs(out, draw=tmp_path / "in", overwrite=True),
        "a_face_3.png": Outputs(out, aligned=alias, overwrite=True),
    }
    for name, outputs in refused.items():
        with pytest.raises(UserError, match=rf"{name}: is an input, and a result of .* would replace it"):
            outputs.prepare(found[:2])
    with pytest.raises(UserError, match=r"v\.mp4: is an input"):
        refused["a.jpg"].prepare(found[2:3])
    with pytest.raises(UserError, match=r"000004_face_0\.png: is an input, and a result of .*v\.mp4 would"):
        refused["a_face_3.png"].prepare(found[2:])
    assert not out.exists()
    # A link among the sources leads to an original that lies where the results go.
    (tmp_path / "links").mkdir()
    (tmp_path / "links/a.jpg").symlink_to(tmp_path / "in/a.jpg")
    with pytest.raises(UserError, match="is an input"):
        refused["a.jpg"].prepare(find_sources([str(tmp_path / "links")]))


def test_registered_faces_are_replaced_only_on_request(tmp_path: Path) -> None:
    found = sources_of(tmp_path / "in", "a.jpg", "v.mp4")
    out = tmp_path / "o"
    for name in ("a_face_0.png", "v/000012_face_1.png"):
        path = tmp_path / "faces" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
        with pytest.raises(UserError, match=f"{name}: exists; choose another folder, or replace it with"):
            Outputs(out, aligned=tmp_path / "faces").prepare(found)
        assert Outputs(out, aligned=tmp_path / "faces", overwrite=True).prepare(found)[0] == found
        path.unlink()
    assert Outputs(out, aligned=tmp_path / "faces").prepare(found)[0] == found


def test_a_name_that_is_too_long_fails_alone(tmp_path: Path) -> None:
    names = ["ä" * 122 + ".jpg", "n" * 251 + ".mp4", "short.jpg"]
    found = sources_of(tmp_path / "in", *names)
    settled, faults = Outputs(tmp_path / "o", aligned=tmp_path / "o").prepare(found)
    assert [one.stem for one in settled] == ["short"]
    assert all("names of its results would have more than 255 bytes" in fault for _, fault in faults)
    settled, faults = Outputs(tmp_path / "o").prepare(found)
    assert [one.stem[0] for one in settled] == ["s", "ä"] and len(faults) == 1
