"""The folder that `write_bp4d` leaves, read back without any of the project's readers."""

from __future__ import annotations

import csv
import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from unittest import mock

import cv2
import h5py
import numpy as np
import pytest

from drml.data.labels import ALL_AUS
from drml.io.errors import UserError
from drml.synth import SynthSummary, bp4d_writer, subject_names, write_bp4d
from drml.synth.mat_writer import write_fit
from seed_effects import check_seed_effects
from tiny_net import file_size_limit

FOLDS = (
    "F001 F002 F008 F009 F010 F016 F018 F023 M001 M004 M007 M008 M012 M014",
    "F003 F005 F011 F013 F020 F022 M002 M005 M010 M011 M013 M016 M017 M018",
    "F004 F006 F007 F012 F014 F015 F017 F019 F021 M003 M006 M009 M015",
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SynthSummary]:
    out = tmp_path_factory.mktemp("synth") / "bp4d"
    return out, write_bp4d(out, subjects=3, tasks=2, frames=40, size=72, seed=6, jobs=1, progress=False)


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SynthSummary]:
    out = tmp_path_factory.mktemp("synth") / "clean"
    options = {"subjects": 3, "tasks": 2, "frames": 10, "size": 72, "seed": 5}
    return out, write_bp4d(out, **options, clean=True, jobs=1, progress=False)


def tree(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


def coding(path: Path) -> tuple[list[str], np.ndarray]:
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    return rows[0], np.array(rows[1:], int)


def fits(path: Path) -> dict[int, np.ndarray]:
    """What `fit` holds, by frame; an empty entry must be MATLAB's empty array."""
    with h5py.File(path) as file:
        references = file["fit/pred"][:, 0]
        # Following a reference takes a while and nearly all lead to the same array.
        targets = [h5py.h5r.get_name(reference, file.id) for reference in references]
        content = {}
        for target in set(targets):
            one = file[target]
            assert one.attrs["MATLAB_class"] == b"double"
            if "MATLAB_empty" in one.attrs:
                assert one.attrs["MATLAB_empty"] == 1
                assert one.dtype == np.uint64 and one[()].tolist() == [0, 0]
            else:
                assert one.shape == (2, 49) and one.dtype == np.float64
                content[target] = one[()]
        return {k + 1: content[target] for k, target in enumerate(targets) if target in content}


def length(path: Path) -> int:
    with h5py.File(path) as file:
        return len(file["fit/pred"])


def test_codings(made: tuple[Path, SynthSummary]) -> None:
    out, summary = made
    files = sorted((out / "AUCoding" / "AU_OCC").iterdir())
    assert [f.name for f in files] == [f"{s}_T{t}.csv" for s in ("F001", "F004", "M002") for t in (1, 2)]
    nines = 0
    for file in files:
        header, rows = coding(file)
        assert header == ["0", *map(str, ALL_AUS)]
        assert (np.diff(rows[:, 0]) == 1).all() and rows[0, 0] > 1 and len(rows) == 40
        assert set(np.unique(rows[:, 1:])) <= {0, 1, 9}
        nines += int((rows[:, 1:] == 9).sum())
    assert nines == summary.unknown_codes > 0
    assert summary.frames == 240 and summary.videos == 6


def test_images_and_landmarks(made: tuple[Path, SynthSummary]) -> None:
    out, summary = made
    images = landmarks = 0
    for file in sorted((out / "AUCoding" / "AU_OCC").iterdir()):
        subject, task = file.stem.split("_")
        frames = coding(file)[1][:, 0].tolist()
        mat = out / "2DFeatures" / f"{file.stem}.mat"
        points = fits(mat)
        assert length(mat) == frames[-1]
        assert set(points) <= set(frames)
        landmarks += len(points)
        for path in (out / "Sequences(2D+3D)" / subject / task).iterdir():
            assert path.name == f"{int(path.stem):04d}.jpg" and int(path.stem) in frames
            image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
            assert image.shape == (96, 72, 3)
            images += 1
        for fit in points.values():
            assert fit.min() > 1 and (fit.max(1) < (72, 96)).all()
    assert images == summary.images < summary.frames
    assert landmarks == summary.landmarks < summary.frames


def test_landmarks_belong_to_their_images(made: tuple[Path, SynthSummary]) -> None:
    """Cut out around its own landmarks a face stays put; around another frame's it does not."""
    out, _ = made
    points = fits(out / "2DFeatures" / "M002_T1.mat")
    paths = sorted((out / "Sequences(2D+3D)" / "M002" / "T1").iterdir())
    paths = [path for path in paths if int(path.stem) in points]

    def spread(shift: int) -> float:
        cuts = []
        for k, path in enumerate(paths):
            fit = points[int(paths[(k + shift) % len(paths)].stem)]
            grey = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
            x, y = fit.mean(1) - 1
            cut = cv2.getRectSubPix(grey, (34, 34), (float(x), float(y))).astype(float)
            cuts.append((cut - cut.mean()) / cut.std())
        return float(np.std(cuts, axis=0).mean())

    assert spread(0) < 0.9 * spread(12)


def test_it_says_that_it_is_synthetic(made: tuple[Path, SynthSummary]) -> None:
    out, summary = made
    note = json.loads((out / "synthetic.json").read_text())
    assert note["synthetic"] is True
    assert note["options"] == {"subjects": 3, "tasks": 2, "frames": 40, "size": 72, "seed": 6}
    assert note["summary"]["images"] == summary.images
    with (out / "synthetic_intensities.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == summary.frames


def test_codes_of_the_clear_cut_set_follow_the_intensities(clean: tuple[Path, SynthSummary]) -> None:
    out, summary = clean
    with (out / "synthetic_intensities.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert len(table) == summary.frames
    by_key = {(r["subject"], r["task"], r["frame"]): r for r in table}
    for file_name in ("F001_T1", "M002_T2"):
        header, rows = coding(out / "AUCoding" / "AU_OCC" / f"{file_name}.csv")
        for row in rows.tolist():
            drawn = by_key[(*file_name.split("_"), str(row[0]))]
            for au, code in zip(header[1:], row[1:], strict=True):
                assert code == 9 or code == (float(drawn[f"AU{au}"]) >= 1)


def test_mat_file_is_matlabs(tmp_path: Path) -> None:
    points = np.random.default_rng(0).uniform(0, 90, (49, 2))
    path = tmp_path / "x.mat"
    write_fit(path, {3: points}, 4)
    raw = path.read_bytes()
    assert raw.startswith(b"MATLAB 7.3 MAT-file")
    assert raw[124:128] == b"\x00\x02IM" and raw[512:520] == b"\x89HDF\r\n\x1a\n"
    read = fits(path)
    assert list(read) == [3]
    assert np.array_equal(read[3], points.T + 1)
    with h5py.File(path) as file:
        assert file.userblock_size == 512 and file["fit/pred"].shape == (4, 1)


def test_mat_file_that_does_not_fit_the_disk_is_an_error_with_its_name(tmp_path: Path) -> None:
    # Not a crash of the process, which is what HDF5 makes of it.
    with file_size_limit(1000), pytest.raises(OSError) as error:
        write_fit(tmp_path / "F001_T1.mat", {1: np.zeros((49, 2))}, 1)
    assert error.value.errno == errno.EFBIG


def test_the_same_bytes_whatever_the_number_of_jobs(tmp_path: Path) -> None:
    options = {"subjects": 3, "tasks": 1, "frames": 4, "size": 80, "progress": False}
    one = write_bp4d(tmp_path / "one", seed=1, jobs=1, **options)
    two = write_bp4d(tmp_path / "two", seed=1, jobs=2, **options)
    assert tree(tmp_path / "one") == tree(tmp_path / "two")
    assert one.rates == two.rates
    write_bp4d(tmp_path / "other", seed=2, jobs=1, **options)
    first, other = tree(tmp_path / "one"), tree(tmp_path / "other")
    changed = {name for name in {*first, *other} if first.get(name) != other.get(name)}
    # Each kind of file, and each of the images: the note differs in any case.
    for ending in (".csv", ".mat", ".jpg"):
        named = [name for name in first if name.endswith(ending)]
        assert named and changed & set(named), ending
    assert "synthetic_intensities.csv" in changed
    assert all(name in changed for name in first if name.endswith(".jpg"))


def test_persons_expressions_and_views_each_follow_from_the_seed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {**TINY, "frames": 3}
    check_seed_effects(
        monkeypatch, bp4d_writer, lambda seed: write_bp4d(tmp_path / str(seed), seed=seed, **options), 3
    )


def test_subjects_are_spread_over_the_folds() -> None:
    assert subject_names(41) == sorted(" ".join(FOLDS).split())
    for count in range(3, 42):
        names = subject_names(count)
        assert len(set(names)) == count and names == sorted(names)
        shares = [len(set(names) & set(fold.split())) for fold in FOLDS]
        assert max(shares) - min(shares) <= 1
    assert {name[0] for name in subject_names(3)} == {"F", "M"}


TINY = {"subjects": 1, "tasks": 1, "frames": 1, "size": 64, "jobs": 1, "progress": False}


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("subjects", 0),
        ("subjects", 42),
        ("tasks", 9),
        ("frames", 0),
        ("frames", 9000),
        ("size", 10),
        ("seed", -1),
        ("jobs", -1),
    ],
)
def test_options_out_of_range(tmp_path: Path, option: str, value: int) -> None:
    with pytest.raises(UserError, match=f"{option} {value}: give "):
        write_bp4d(tmp_path / "out", **{**TINY, option: value})
    assert list(tmp_path.iterdir()) == []


def test_an_existing_folder_is_left_alone(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("keep")
    with pytest.raises(UserError, match=r"out: already exists"):
        write_bp4d(out, **TINY)
    assert tree(tmp_path) == {"out/mine.txt": b"keep"}
    (out / "mine.txt").unlink()
    write_bp4d(out, **TINY)  # empty: fine
    assert (out / "synthetic.json").is_file()


def test_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match=r"file: already exists"):
        write_bp4d(tmp_path / "file", **TINY)
    with pytest.raises(UserError, match=r"file/out: cannot be written \(Not a directory"):
        write_bp4d(tmp_path / "file" / "out", **TINY)


def test_leftovers_of_an_interrupted_run(tmp_path: Path) -> None:
    partial = tmp_path / "out.partial"
    partial.mkdir()
    (partial / "mine.txt").write_text("keep")
    (tmp_path / "out.partial-0123456789ab").mkdir()  # of a killed process
    write_bp4d(tmp_path / "out", **TINY)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out", "out.partial"]
    assert (partial / "mine.txt").read_text() == "keep"


write_video = bp4d_writer._write_video


def write_video_to_a_full_disk(video: Any) -> Any:
    """Do this in the process that writes: a spawned one knows nothing of what the test has replaced."""

    def full(path: Path, *_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    with mock.patch.object(bp4d_writer, "write_fit", full):
        return write_video(video)


@pytest.mark.parametrize("jobs", [1, 2])
def test_disk_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jobs: int) -> None:
    monkeypatch.setattr(bp4d_writer, "_write_video", write_video_to_a_full_disk)
    with pytest.raises(UserError, match=r"F001_T1\.mat: cannot write the data set: No space left"):
        write_bp4d(tmp_path / "out", **{**TINY, "jobs": jobs})
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_leaves_nothing(tmp_path: Path) -> None:
    code = f"from drml.synth import write_bp4d; write_bp4d({str(tmp_path / 'out')!r}, jobs=2, size=64)"
    process = subprocess.Popen(
        [sys.executable, "-c", code], stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        while process.poll() is None and not list(tmp_path.glob("out.partial-*/Sequences(2D+3D)/*")):
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode != 0
    assert "KeyboardInterrupt" in errors
    assert list(tmp_path.iterdir()) == []
