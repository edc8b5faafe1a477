"""Copies of BP4D and BP4D+: each known variant reads as the data set as distributed does, and others are
refused with what to do."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

import bp4d_factory as factory
import disfa_factory
from drml.data.readers import Scan, bp4d, bp4dplus, disfa_folders, disfaplus
from drml.data.readers.bp4d_folders import IMAGES_AND_LANDMARKS, INTENSITIES, OCCURRENCES
from drml.data.readers.images import ImageReader
from drml.data.readers.kinds import DATA_SETS
from drml.io.errors import UsageError, UserError

FIRST, FRAMES = 8, 3
IMAGES, CODING, POINTS = "Sequences(2D+3D)", "AUCoding/AU_OCC", "2DFeatures"


def write(root: Path) -> Path:
    """Two recordings as distributed; each image shows its number."""
    for subject, task in (("F001", "T1"), ("M001", "T2")):
        factory.write_video(root, subject, task, first=FIRST, frames=FRAMES)
        for number in range(FIRST, FIRST + FRAMES):
            image = disfa_factory.picture(f"{subject}_{task}", number)
            cv2.imwrite(str(root / IMAGES / subject / task / f"{number:04d}.jpg"), image)
    return root


def move(root: Path, **to: str) -> None:
    """Move the parts of the data set: their names are ``images``, ``coding``, ``points``."""
    for part, place in to.items():
        old = root / {"images": IMAGES, "coding": CODING, "points": POINTS}[part]
        spare = root / "spare"
        old.rename(spare)
        if part == "coding":
            (root / "AUCoding").rmdir()
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        if place == ".":
            for path in spare.iterdir():
                path.rename(root / path.name)
            spare.rmdir()
        else:
            spare.rename(root / place)


def rename_images(root: Path, name: Callable[[int], str]) -> None:
    for path in sorted((root / IMAGES).rglob("*.jpg")):
        new = name(int(path.stem))
        if new.endswith(".png"):
            cv2.imwrite(str(path.with_name(new)), cv2.imread(str(path)))
            path.unlink()
        else:
            path.rename(path.with_name(new))


def videos(root: Path, place: str, name: Callable[[str, str], str], suffix: str = ".avi") -> None:
    """Videos that begin with frame 1 instead of the images."""
    shutil.rmtree(root / IMAGES)
    for subject, task in (("F001", "T1"), ("M001", "T2")):
        pictures = [disfa_factory.picture(f"{subject}_{task}", n) for n in range(1, FIRST + FRAMES)]
        disfa_factory.write_avi(
            root / place / f"{name(subject, task)}{suffix}", pictures, "MJPG" if suffix == ".avi" else "mp4v"
        )


def write_intensities(folder: Path, aus: tuple[int, ...] = (6, 10, 12, 14, 17)) -> None:
    """Intensities 0 to 5, and 9 for an unknown one; F001_T1 has none of AU17."""
    for recording in ("F001_T1", "M001_T2"):
        for au in aus[: len(aus) - (recording == "F001_T1")]:
            path = folder / f"AU{au:02d}" / f"{recording}_AU{au:02d}.csv"
            path.parent.mkdir(parents=True, exist_ok=True)
            values = [(au + n) % 6 for n in range(FRAMES - 1)] + [9]
            path.write_text("".join(f"{FIRST + n},{value}\n" for n, value in enumerate(values)))


def fera(root: Path) -> None:
    move(root, images="BP4D-training", coding="BP4D-AUCoding", points="BP4D-fpoints")
    write_intensities(root / "AU_INT")


def too_deep(root: Path) -> None:
    move(root, coding="AUCoding/AUCoding", points="2DFeatures/2DFeatures")
    for subject in ("F001", "M001"):
        (root / IMAGES / subject).rename(root / "spare")
        (root / IMAGES / subject).mkdir()
        (root / "spare").rename(root / IMAGES / subject / subject)


COPIES: dict[str, Callable[[Path], None]] = {
    "2D+3D": lambda root: move(root, images="2D+3D"),
    "Sequences": lambda root: move(root, images="Sequences"),
    "FERA 2015": fera,
    "FERA 2015, AU_OCC": lambda root: move(root, coding="BP4D-AUCoding/AU_OCC"),
    "coding in AUCoding": lambda root: move(root, coding="AUCoding"),
    "unpacked one level too deep": too_deep,
    "Labels/OCC": lambda root: move(root, images="videos", coding="Labels/OCC"),
    "subjects in the root": lambda root: move(root, images="."),
    "other case": lambda root: move(root, coding="aucoding/au_occ", points="2dFeatures", images="2d+3d"),
    "all names in lower case": lambda root: disfa_factory.rename_all(root, str.lower),
    "all names in upper case": lambda root: disfa_factory.rename_all(root, str.upper),
    "2440.jpg": lambda root: rename_images(root, lambda n: f"{n}.jpg"),
    "02440.jpg": lambda root: rename_images(root, lambda n: f"{n:05d}.jpg"),
    "frame_2440.jpg": lambda root: rename_images(root, lambda n: f"frame_{n}.jpg"),
    ".png": lambda root: rename_images(root, lambda n: f"{n}.png"),
    "videos": lambda root: videos(root, "videos", lambda s, t: f"{s}_{t}"),
    "videos by subject": lambda root: videos(root, "2D+3D", lambda s, t: f"{s}/{t}", ".mp4"),
}


def check(scan: Scan, usual: Scan) -> None:
    """Check that a copy gives the same records, whose images show their frames."""
    assert [record.key for record in scan.records] == [record.key for record in usual.records]
    with ImageReader() as reader:
        for one, two in zip(scan.records, usual.records, strict=True):
            assert (one.subject, one.task, one.frame) == (two.subject, two.task, two.frame)
            assert disfa_factory.number_in(reader.load(one.image)[0]) == one.frame
            np.testing.assert_array_equal(one.labels, two.labels)
            np.testing.assert_allclose(one.landmarks, two.landmarks)


@pytest.mark.parametrize("copy", COPIES)
def test_a_known_copy_reads_as_the_data_set_as_distributed(tmp_path: Path, copy: str) -> None:
    usual = bp4d.read(write(tmp_path / "usual"))
    assert len(usual.records) == 2 * FRAMES and not usual.skipped
    COPIES[copy](write(tmp_path / "copy"))
    scan = bp4d.read(tmp_path / "copy")
    check(scan, usual)
    # A video also shows the frames before the first one that is coded.
    assert scan.skipped == ({"no coding": 2 * (FIRST - 1)} if "videos" in copy else {})


@pytest.mark.parametrize("place", ["AUCoding/AU_INT", "AU_INT", "BP4D-AUCoding/AU_INT", "Labels/INT"])
def test_intensity_codes(tmp_path: Path, place: str) -> None:
    root = write(tmp_path)
    write_intensities(root / place)
    scan = DATA_SETS["bp4d"].read(root, aus=(12, 6, 17), intensity=2)
    # The last frame has no known intensity at all.
    assert [record.key for record in scan.records] == [
        f"{video}_{frame:04d}"
        for video in ("F001_T1", "M001_T2")
        for frame in range(FIRST, FIRST + FRAMES - 1)
    ]
    for record in scan.records:
        sign = [1 if (au + record.frame - FIRST) % 6 >= 2 else -1 for au in scan.aus]
        assert record.labels.tolist() == (sign if record.video == "M001_T2" else [*sign[:2], 0])
    assert scan.skipped == {"no known label": 2} and scan.incomplete == {"no label of AU17": FRAMES}


def test_intensities_are_of_five_aus_and_captions_tell_of_them(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"BP4D has intensity codes of the AUs 6,10,12,14,17 alone; give --aus"
    ):
        bp4d.read(write(tmp_path), intensity=3)
    with pytest.raises(
        UserError, match=r"it has no coding\. Looked for the coding \(files such as AU06/F001_T1"
    ):
        bp4d.read(tmp_path, aus=(6,), intensity=3)
    for kind in ("bp4d", "bp4dplus"):
        DATA_SETS[kind].check_asked({})  # the threshold is needed for intensities alone
    said = DATA_SETS["bp4dplus"].describe_labels({"intensity": 2})
    assert said.startswith("BP4D+'s intensities: from 2 on present (+1)")
    assert DATA_SETS["bp4d"].describe_labels({"intensity": None}).startswith("BP4D's occurrence codes")


def test_images_that_count_from_0(tmp_path: Path) -> None:
    usual, root = bp4d.read(write(tmp_path / "usual")), write(tmp_path / "copy")
    rename_images(root, lambda n: f"{n - 1:04d}.jpg")
    check(bp4d.read(root, first_frame=0), usual)
    assert len(bp4d.read(root).records) == 2 * (FRAMES - 1)


def test_folders_of_any_name_can_be_given(tmp_path: Path) -> None:
    usual, root = bp4d.read(write(tmp_path / "usual")), write(tmp_path / "copy")
    move(root, images="a", coding="b/b", points="c")
    given = {"image_folder": root / "a", "coding_folder": root / "b", "landmark_folder": root / "c"}
    check(bp4d.read(root, **given), usual)
    with pytest.raises(UserError, match=r"b: it does not hold folders such as F001/T1 or .* it holds b/$"):
        bp4d.read(root, **{**given, "image_folder": root / "b"})
    with pytest.raises(UserError, match=r"d: no such folder; --landmarks names one that holds files such as"):
        bp4d.read(root, **{**given, "landmark_folder": root / "d"})


def test_two_variants_in_one_folder_are_refused_unless_one_is_chosen(tmp_path: Path) -> None:
    root = write(tmp_path)
    shutil.copytree(root / IMAGES, root / "videos")
    with pytest.raises(
        UserError, match=r"images in 2 places, Sequences\(2D\+3D\) and videos; keep one .* --images$"
    ):
        bp4d.read(root)
    assert len(bp4d.read(root, image_folder=root / "videos").records) == 2 * FRAMES
    shutil.copytree(root / CODING, root / "BP4D-AUCoding")
    with pytest.raises(UserError, match="coding in 2 places, AUCoding/AU_OCC and BP4D-AUCoding"):
        bp4d.read(root)


def test_a_recording_with_a_video_and_images_is_refused(tmp_path: Path) -> None:
    root = write(tmp_path)
    (root / IMAGES / "F001_T1.avi").write_bytes(b"x")
    with pytest.raises(UserError, match=r"F001_T1\.avi: the frames of F001_T1 are also in .*F001/T1; remove"):
        bp4d.read(root)


def test_archives_are_refused_with_the_command_that_unpacks_them(tmp_path: Path) -> None:
    usual, root = bp4d.read(write(tmp_path / "usual")), write(tmp_path / "a copy")
    images = root / IMAGES
    for subject in ("F001", "M001"):
        with zipfile.ZipFile(images / f"{subject}.zip", "w") as archive:
            for path in sorted((images / subject).rglob("*.jpg")):
                archive.write(path, path.relative_to(images))
    check(bp4d.read(root), usual)  # archives whose content is unpacked do no harm
    shutil.rmtree(images / "M001")
    with pytest.raises(UserError, match=r"M001\.zip: the images of 1 archive are not unpacked; .*with: for"):
        bp4d.read(root)
    # What the command does with archives such as these.
    with zipfile.ZipFile(images / "M001.zip") as archive:
        archive.extractall(images / "M001")
    check(bp4d.read(root), usual)
    shutil.rmtree(images / "F001")
    shutil.rmtree(images / "M001")
    with pytest.raises(UserError, match=r"F001\.zip: the images of 2 archives are not unpacked"):
        bp4d.read(root)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (
            lambda root: shutil.rmtree(root / POINTS),
            r"it has no landmarks\. Looked for the landmarks \(files such as F001_T1\.mat\) in 2DFeatures/ or"
            r" BP4D-fpoints/\. It holds AUCoding/ and Sequences\(2D\+3D\)/\. The nearest variant is the data"
            r" set as distributed, which has 2DFeatures/ with the landmarks\. Name the folders with --land",
        ),
        (
            lambda root: (fera(root), shutil.rmtree(root / "BP4D-AUCoding")),
            r"it has no coding\. .*The nearest variant is FERA 2015's copy, which has AUCoding/ with the"
            r" coding, BP4D-AUCoding/AU_OCC/ with the coding and BP4D-AUCoding/ with the coding",
        ),
        (
            lambda root: ((root / IMAGES).rename(root / "faces"), (root / "a.zip").touch()),
            r"it has no images\. .*It holds 2DFeatures/, AUCoding/, a\.zip and faces/\. Unpack its archives",
        ),
        (
            lambda root: [path.unlink() for path in (root / CODING).iterdir()],
            r"it has no coding\. .*It holds 2DFeatures/, AUCoding/ and Seq",
        ),
        (
            lambda root: (write(root / "BP4D"), move(root, images="x", coding="y", points="z")),
            r"no coding, no images and no landmarks.*Its folder BP4D/ has BP4D's layout: give that one$",
        ),
    ],
    ids=["landmarks", "FERA's coding", "archives", "empty coding", "one level deeper"],
)
def test_a_folder_that_fits_nothing_is_told_what_was_looked_for(
    tmp_path: Path, spoil: Callable[[Path], object], said: str
) -> None:
    spoil(write(tmp_path))
    with pytest.raises(UserError, match=said):
        bp4d.read(tmp_path)
    with pytest.raises(UserError, match=r"nowhere: no such folder; give BP4D's root"):
        bp4d.read(tmp_path / "nowhere")


def test_the_documents_list_all_places() -> None:
    text = (Path(__file__).resolve().parents[2] / "docs/data_sets.md").read_text(encoding="utf-8")
    table = text.split("## Copies that are read")[1].split("## Your own images")[0]
    for part in (
        OCCURRENCES,
        INTENSITIES,
        *IMAGES_AND_LANDMARKS,
        *disfa_folders.parts("left"),
        *disfaplus.PARTS,
    ):
        for place in part.places:
            assert place.path == "." or f"`{place.path}`" in table, place
    for name in COPIES:
        assert not name.endswith((".jpg", ".png")) or f"`{name}`" in table or f"/{name}`" in table, name


# --- BP4D+ --------------------------------------------------------------------------------------------------

PLUS_AUS = (*factory.CODED_AUS, 99)


def write_plus(root: Path, recordings: tuple[str, ...] = ("F001_T1", "F082_T6", "M058_T8")) -> Path:
    """Recordings of BP4D+: coded frame n is image n - 1, and frame 2 is not to be trusted."""
    for name in recordings:
        subject, task = name.split("_")
        frames = [1, 2, 3]
        values = np.hstack([factory.codes(name, frames=3), [[0], [1], [0]]])
        factory.write_csv(root / CODING / f"{name}.csv", frames, values, PLUS_AUS)
        (root / "2D+3D" / subject / task).mkdir(parents=True)
        for frame in frames:
            image = disfa_factory.picture(name, frame)
            cv2.imwrite(str(root / "2D+3D" / subject / task / f"{frame - 1:04d}.jpg"), image)
        points = [factory.landmarks(name, frame) for frame in frames]
        factory.write_mat(root / POINTS / f"{name}.mat", points)
    return root


def test_bp4d_plus_reads_frame_n_from_image_n_minus_1_without_those_not_to_be_trusted(tmp_path: Path) -> None:
    scan = bp4dplus.read(write_plus(tmp_path))
    assert [record.key for record in scan.records] == [
        f"{name}_{frame:04d}" for name in ("F001_T1", "F082_T6", "M058_T8") for frame in (1, 3)
    ]
    assert scan.skipped == {"codes not to be trusted (column 99)": 3}
    assert scan.coded == {"F001_T1": 3, "F082_T6": 3, "M058_T8": 3}
    with ImageReader() as reader:
        for record in scan.records:
            assert disfa_factory.number_in(reader.load(record.image)[0]) == record.frame
            expected = factory.landmarks(record.video, record.frame)
            np.testing.assert_allclose(record.landmarks, expected)
            codes = factory.codes(record.video, frames=3)[record.frame - 1]
            meaning = {1: 1, 0: -1, 9: 0}
            columns = [factory.CODED_AUS.index(au) for au in scan.aus]
            assert record.labels.tolist() == [meaning[code] for code in codes[columns].tolist()]


def test_the_known_holes_of_bp4d_plus_are_counted_as_such(tmp_path: Path) -> None:
    root = write_plus(tmp_path, ("F001_T1", "F041_T7", "F082_T6", "F082_T8"))
    shutil.rmtree(root / "2D+3D/F041/T7")
    (root / POINTS / "F082_T6.mat").unlink()
    (root / "2D+3D/F001/T1/0000.jpg").unlink()
    scan = bp4dplus.read(root)
    assert scan.skipped == {
        "no image, as in the data set as distributed": 2,
        "no landmarks, as in the data set as distributed": 2,
        "no image": 1,
        "codes not to be trusted (column 99)": 4,
    }


@pytest.mark.parametrize(
    ("recordings", "said"),
    [
        (
            ("F001_T1", "F024_T1"),
            r"F024_T1\.csv: F024_T1 is not a recording of BP4D: BP4D has the subjects",
        ),
        (("F001_T1", "F001_T9"), r"F001_T9\.csv: F001_T9 is not a recording of BP4D"),
        (("F001_T1", "M001_T6"), r"F001_T1\.csv: BP4D has no column 99"),
    ],
    ids=["subjects", "tasks", "columns"],
)
def test_a_copy_of_bp4d_plus_is_not_read_as_bp4d(
    tmp_path: Path, recordings: tuple[str, ...], said: str
) -> None:
    with pytest.raises(UserError, match=rf"{said}.*If this is a copy of BP4D\+, use drml prepare bp4dplus;"):
        bp4d.read(write_plus(tmp_path, recordings))


def test_a_packed_copy_of_bp4d_plus_is_not_unpacked_in_vain(tmp_path: Path) -> None:
    root = write_plus(tmp_path, ("F024_T1",))
    shutil.rmtree(root / "2D+3D/F024")
    (root / "2D+3D/F024.zip").touch()
    with pytest.raises(UserError, match=r"F024_T1 is not a recording of BP4D: .*use drml prepare bp4dplus"):
        bp4d.read(root)
    with pytest.raises(UserError, match=r"F024\.zip: the images of 1 archive are not unpacked"):
        bp4dplus.read(root)


def test_the_images_alone_show_that_a_copy_is_bp4d_plus(tmp_path: Path) -> None:
    root = write(tmp_path)
    (root / IMAGES / "F082/T10").mkdir(parents=True)
    with pytest.raises(UserError, match=r"F082/T10: F082_T10 is not a recording of BP4D.*prepare bp4dplus"):
        bp4d.read(root)


def test_a_copy_of_bp4d_is_not_read_as_bp4d_plus(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"M001_T2\.csv: BP4D\+ has no coding of M001_T2.*drml prepare bp4d;"):
        bp4dplus.read(write(tmp_path))
