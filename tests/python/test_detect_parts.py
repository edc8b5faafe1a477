"""The parts of drml detect, each alone: sources, tracking, threads ahead, table, drawing."""

from __future__ import annotations

import csv
import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

import detect_data as data
from drml.data.face import Face
from drml.data.face_following import overlap
from drml.data.readers.video import VideoReader
from drml.detect.csv_file import CsvFile
from drml.detect.drawing import Annotator
from drml.detect.frames import Frame, Unreadable, Video, read_images
from drml.detect.output_paths import Names, find_existing
from drml.detect.pipeline import DetectedFrame, add_probabilities, read_ahead
from drml.detect.sources import Source, find_sources
from drml.detect.table import columns, rows
from drml.detect.tracking import Tracker
from drml.io.errors import UserError

AUS = (1, 2, 4, 6, 7, 10, 12, 14, 15, 17, 23, 24)


# --- sources --------------------------------------------------------------------------------------------


def make(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def test_folders_are_searched_in_the_order_of_their_names(tmp_path: Path) -> None:
    make(
        tmp_path, "10.jpg", "2.JPG", "b/1.mp4", "a/x.gif", "readme.txt", ".git/a.jpg", "b/.b.png", "out/z.png"
    )
    found = find_sources([str(tmp_path)], skip=[tmp_path / "out"])
    assert [(source.stem, source.kind) for source in found] == [
        ("2", "image"),
        ("10", "image"),
        ("a/x", "video"),
        ("b/1", "video"),
    ]
    assert found[0].name == f"{tmp_path}/2.JPG"


def test_no_two_sources_share_a_stem_and_none_comes_twice(tmp_path: Path) -> None:
    make(tmp_path, "a/x.jpg", "b/x.jpg", "b/x.png", "b/x_2.jpg", "x_3.jpg")
    found = find_sources([str(tmp_path / name) for name in ("a", "b", "x_3.jpg", "a/x.jpg")])
    assert [source.stem for source in found] == ["x", "x_2", "x_3", "x_2_2", "x_3_2"]
    assert len({source.stem for source in found}) == len(found)


def test_what_a_file_is_tells_its_ending_else_its_content(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "x.png"), data.astronaut())
    (tmp_path / "x.png").rename(tmp_path / "picture.dat")
    data.write_video(tmp_path / "v.avi", list(data.moving(2)), codec="MJPG").rename(tmp_path / "video.dat")
    kinds = [
        source.kind for source in find_sources([str(tmp_path / "picture.dat"), str(tmp_path / "video.dat")])
    ]
    assert kinds == ["image", "video"]


def test_the_content_of_a_file_counts_more_than_its_ending(tmp_path: Path) -> None:
    jpeg, box = bytes(cv2.imencode(".jpg", data.astronaut())[1]), b"\0\0\0\x18ftyp"
    heads = {
        "photo.mov": (jpeg, "image"),
        "raw.mjpeg": (jpeg, "video"),
        "clip.jpg": (box + b"isom\0\0\0\0isomavc1", "video"),
        "phone.mp4": (box + b"heic\0\0\0\0mif1heic", "image"),
        "new.mov": (box + b"mif1\0\0\0\0avifmif1", "image"),
        "stream.dat": ((b"\x47" + bytes(187)) * 9, "video"),
        "disc.dat": ((bytes(4) + b"\x47" + bytes(187)) * 9, "video"),
        "paper.jpg": (b"%PDF-1.7 " + jpeg, "image"),
        "paper.mp4": (b"%PDF-1.7 " + jpeg, "video"),
        "empty.jpg": (b"", "image"),
    }
    for name, (content, _) in heads.items():
        (tmp_path / name).write_bytes(content)
    found = find_sources([str(tmp_path / name) for name in heads])
    assert [one.kind for one in found] == [kind for _, kind in heads.values()]
    with pytest.raises(Unreadable, match="cannot be read as a video, because it is a PDF document"):
        Video(found[list(heads).index("paper.mp4")])
    (tmp_path / "photo.avi").write_bytes(jpeg)
    with pytest.raises(UserError, match=r"photo\.avi: cannot be read as a video, because it is a JPEG image"):
        VideoReader(tmp_path / "photo.avi")


def test_a_folder_passes_nothing_over_in_silence(tmp_path: Path) -> None:
    read = ["a.HEIC", "b.jfif", "c.mxf", "d.vob", "e.dv", "f.mts", "g.apng", "h.mjpg"]
    make(tmp_path, *read, "notes.txt", "x.cr2", "y.CR2", "z.jxl", ".hidden.jpg")
    passed_over: Counter[str] = Counter()
    assert [Path(one.name).name for one in find_sources([str(tmp_path)], (), passed_over)] == read
    assert passed_over == {".cr2": 2, ".jxl": 1}


def test_links_to_folders_are_followed_once(tmp_path: Path) -> None:
    make(tmp_path, "in/b/1.jpg", "in/b/c/2.jpg", "far/3.jpg", "far/deep/4.jpg", "out/5.jpg")
    for name, target in (
        ("in/a", "in/b"),  # a folder that is there already, and comes first
        ("in/circle", "in"),
        ("far/back", "in"),
        ("in/far", "far"),
        ("in/far_again", "far/deep"),
        ("in/results", "out"),
        ("in/gone", "nowhere"),
    ):
        (tmp_path / name).symlink_to(tmp_path / target)
    found = find_sources([str(tmp_path / "in")], skip=[tmp_path / "out"])
    assert [source.stem for source in found] == ["b/1", "b/c/2", "far/3", "far_again/4"]


def test_an_empty_path_is_refused() -> None:
    with pytest.raises(UserError, match="an input is an empty path"):
        find_sources([""])


def test_a_number_is_a_webcam_unless_it_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make(tmp_path, "1")
    found = find_sources(["0", "1"])
    assert [(source.kind, source.stem) for source in found] == [("camera", "camera0"), ("video", "1")]
    with pytest.raises(UserError, match="7a: no such file"):
        find_sources(["7a"])


def test_a_name_that_is_no_text_ends_nothing(tmp_path: Path) -> None:
    for ending, content in (("png", cv2.imencode(".png", data.astronaut())[1].tobytes()), ("avi", None)):
        name = os.fsencode(tmp_path) + b"/caf\xe9." + ending.encode()
        if content is None:
            os.rename(data.write_video(tmp_path / "v.avi", list(data.moving(2)), codec="MJPG"), name)  # noqa: PTH104 -- bytes, not a Path
        else:
            Path(os.fsdecode(name)).write_bytes(content)
    found = find_sources([str(tmp_path)])
    assert [source.kind for source in found] == ["video", "image"]
    assert [frame.fault for frame in read_images(found[1:])] == [None]
    # OpenCV would crash.
    with pytest.raises(Unreadable, match="OpenCV cannot open files whose name is not UTF-8"):
        Video(found[0])


# --- frames ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("codec", ["MJPG", "XVID", "PIM1"])
def test_times_rise_whatever_the_codec(tmp_path: Path, codec: str) -> None:
    path = data.write_video(tmp_path / "v.avi", list(data.moving(20)), codec=codec)
    reader = VideoReader(path)
    times = [seconds for seconds, image in reader.stream() if image is not None]
    assert len(times) == 20 and (np.diff(times) > 0).all()
    assert times[-1] - times[0] == pytest.approx(19 / reader.fps, abs=0.1)


# --- tracking -------------------------------------------------------------------------------------------


def face(left: float, top: float = 0.0, side: float = 10.0) -> Face:
    return Face((left, top, side, side), np.zeros((5, 2)), 0.9)


def test_overlap_against_pixels_counted() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        boxes = [(*rng.integers(0, 20, 2), *rng.integers(1, 15, 2)) for _ in "ab"]
        masks = np.zeros((2, 40, 40), bool)
        for mask, (left, top, width, height) in zip(masks, boxes, strict=True):
            mask[top : top + height, left : left + width] = True
        assert overlap(*boxes) == pytest.approx((masks[0] & masks[1]).sum() / (masks[0] | masks[1]).sum())


def test_the_larger_overlap_decides() -> None:
    tracker = Tracker()
    assert [f.id for f in tracker.follow([face(0), face(6)])] == [0, 1]
    # The first now lies between both, nearer the second; that has moved on a little.
    found = tracker.follow([face(4), face(7)])
    assert {f.box[0]: f.id for f in found} == {7: 1, 4: 0}
    assert [f.id for f in tracker.follow([face(100)])] == [2]
    # One face that overlaps with both: by .43 with the first, by .67 with the second.
    tracker = Tracker()
    tracker.follow([face(0), face(6)])
    assert [f.id for f in tracker.follow([face(4)])] == [1]


def test_the_smallest_overlap_still_counts() -> None:
    # 5 of 10 columns are common to both: 1/3 of their union.
    for smallest, number in ((1 / 3, 0), (0.34, 1)):
        tracker = Tracker(min_overlap=smallest)
        tracker.follow([face(0)])
        assert [f.id for f in tracker.follow([face(5)])] == [number]


def test_a_face_is_looked_for_during_15_frames() -> None:
    for gap, number in ((15, 0), (16, 1)):
        tracker = Tracker()
        tracker.follow([face(0)])
        for _ in range(gap):
            tracker.follow([])
        assert [f.id for f in tracker.follow([face(0)])] == [number]


def test_a_face_that_stays_away_comes_back_as_another() -> None:
    for gap, number in ((3, 0), (4, 1)):
        tracker = Tracker(patience=3)
        tracker.follow([face(0)])
        for _ in range(gap):
            tracker.follow([])
        assert [f.id for f in tracker.follow([face(1)])] == [number]
        assert len(tracker._known) == 1


# --- threads --------------------------------------------------------------------------------------------


def test_read_ahead_gives_the_items_in_order_and_no_more_than_it_may() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for index in range(50):
            taken.append(index)
            yield index

    got = []
    for item in read_ahead(items(), 3):
        got.append(item)
        time.sleep(0.001)
        assert len(taken) <= item + 1 + 3 + 2, "three in the queue, one in the hand on each side"
    assert got == list(range(50))


def test_an_error_ahead_comes_out_after_what_was_before_it() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise OSError(28, "full")

    run = read_ahead(items())
    assert next(run) == 1
    with pytest.raises(OSError, match="full"):
        next(run)


def test_closing_ends_the_thread_and_what_it_reads() -> None:
    closed = threading.Event()

    def items() -> Iterator[int]:
        try:
            while True:
                yield 0
        finally:
            closed.set()

    before = threading.active_count()
    run = read_ahead(read_ahead(items()))
    next(run)
    run.close()
    assert closed.wait(1) and threading.active_count() == before


class Net:
    """Gives each crop its own mean as the probability."""

    aus = (1, 2)
    face_size = 2

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def __call__(self, faces: list[np.ndarray]) -> np.ndarray:
        self.sizes.append(len(faces))
        return np.array([[f.mean() / 255, 0] for f in faces]).reshape(len(faces), 2)


def test_batches_hold_the_faces_of_several_frames_and_the_order_stays() -> None:
    def crop(value: int) -> np.ndarray:
        return np.full((2, 2, 3), value, np.uint8)

    counts = [0, 2, 0, 1, 3, 0, 0, 7, 1]
    source = Source("v", "video", "v")
    frames, value = [], 0
    for number, count in enumerate(counts):
        crops: list[np.ndarray | None] = []
        for index in range(count):
            crops.append(None if (number, index) == (4, 1) else crop(value := value + 5))
        frames.append(DetectedFrame(Frame(source, number, 0.0, None), [face(0)] * count, crops))
    net = Net()
    out = list(add_probabilities(frames, net, 4))
    assert [one.frame.number for one in out] == list(range(len(counts)))
    for one in out:
        wanted = [0 if c is None else c.mean() / 255 for c in one.crops]
        assert np.allclose(one.probabilities[:, 0], wanted)
    assert max(net.sizes) <= 4 and sum(net.sizes) == 13


# --- table ----------------------------------------------------------------------------------------------


def detected_with(faces: list[Face], probabilities: np.ndarray, name: str = "a.png") -> DetectedFrame:
    frame = Frame(Source(name, "image", "a"), 3, 1.5, np.zeros((40, 40, 3), np.uint8))
    crops = [np.zeros((2, 2, 3), np.uint8) for _ in faces]
    return DetectedFrame(frame, faces, list(crops), probabilities)


def test_rows_have_their_columns() -> None:
    points = np.arange(10, dtype=float).reshape(5, 2)
    found = detected_with([Face((0, 0, 5, 5), points, 0.876, 2)], np.array([[0.4999996, 0.25]]), "a,b.png")
    (row,) = rows(found, (1, 12), (0.5, 0.5), with_input=True)
    named = dict(zip(columns((1, 12), with_input=True), row, strict=True))
    assert named["input"] == "a,b.png" and named["frame"] == "3" and named["face_id"] == "2"
    assert named["timestamp"] == "1.500" and named["confidence"] == "0.876"
    assert (named["x_1"], named["y_1"], named["y_4"]) == ("2.00", "3.00", "9.00")
    # The label agrees with the probability that is written.
    assert (named["AU01_p"], named["AU01_c"], named["AU12_c"]) == ("0.50000", "1", "0")
    (row,) = rows(detected_with([], np.zeros((0, 2))), (1, 12), (0.0, 0.0), with_input=False)
    assert row == ["3", "0", "1.500", *["0"] * 16]


def test_a_table_quotes_what_needs_it(tmp_path: Path) -> None:
    path = tmp_path / "sub" / "t.csv"
    with CsvFile(path, ["input", "b"]) as table:
        table.write([['x,"y"\nz.png', "1"]])
        assert not path.exists()
    with path.open(newline="") as file:
        assert list(csv.reader(file)) == [["input", "b"], ['x,"y"\nz.png', "1"]]


def test_a_file_that_has_the_partial_name_is_kept(tmp_path: Path) -> None:
    path, part = tmp_path / "t.csv", tmp_path / "t.csv.partial"
    part.write_text("mine")
    with pytest.raises(UserError, match=r"t\.csv\.partial: exists; .* or replace it with --overwrite"):
        CsvFile(path, ["a"])
    assert part.read_text() == "mine" and not path.exists()
    source = Source("t.mp4", "video", "t")
    assert find_existing([source], lambda _: Names(path, None, None)) == part
    with CsvFile(path, ["a"], overwrite=True):
        pass
    assert path.read_text() == "a\n" and not part.exists()


def test_an_interrupt_within_a_write_leaves_whole_rows(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"

    class Half:
        def __init__(self, file: object) -> None:
            self.file = file

        def write(self, text: memoryview) -> int:
            self.file.write(text[: len(text) // 2])  # type: ignore[attr-defined]  # a stand-in
            raise KeyboardInterrupt

        def __getattr__(self, name: str) -> object:
            return getattr(self.file, name)

    with pytest.raises(KeyboardInterrupt), CsvFile(path, ["a", "b"]) as table:
        table.write([["1", "2"]])
        table._file = Half(table._file)  # type: ignore[assignment]  # a stand-in
        table.write([["3333", "4444"], ["5", "6"]])
    assert path.read_text() == "a,b\n1,2\n"


def test_another_error_leaves_an_earlier_table_alone(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("old")
    with pytest.raises(UserError), CsvFile(path, ["a"]) as table:
        table.write([["1"]])
        raise UserError("no")
    assert path.read_text() == "old" and [p.name for p in tmp_path.iterdir()] == ["t.csv"]


# --- drawing --------------------------------------------------------------------------------------------


def draw(
    shape: tuple[int, int], faces: list[Face], values: np.ndarray, aus: tuple[int, ...] = AUS
) -> np.ndarray:
    frame = Frame(Source("a", "image", "a"), 1, 0.0, np.full((*shape, 3), 128, np.uint8))
    crops: list[np.ndarray | None] = [np.zeros((2, 2, 3), np.uint8) for _ in faces]
    return Annotator(aus, [0.5] * len(aus)).draw(DetectedFrame(frame, faces, crops, values))


def test_bars_are_as_long_as_the_probabilities() -> None:
    values = np.linspace(0.05, 0.95, 12)[None]
    spread = np.array([[300, 200], [340, 200], [320, 230], [305, 260], [335, 260]], float)
    picture = draw((720, 640), [Face((280, 160, 80, 120), spread, 0.9)], values)
    plain = draw((720, 640), [Face((280, 160, 80, 120), spread, 0.9)], np.zeros((1, 12)))
    # Where a bar is filled, it differs from the empty one; its row is one of 19 pixels.
    region = np.s_[:, 640 + 190 : 640 + 310 - 44]
    changed = (picture[region] != plain[region]).any(axis=2)
    for index, value in enumerate(values[0]):
        middle = 10 + 19 * (index + 1) + 8
        length = np.flatnonzero(changed[middle])
        assert length.max() + 1 == pytest.approx(value * changed.shape[1], abs=3)


@pytest.mark.parametrize("shape", [(40, 50), (90, 1600), (1600, 90), (480, 640), (2160, 3840)])
@pytest.mark.parametrize("count", [0, 1, 7])
def test_pictures_of_any_size_and_number_of_faces_are_drawn(shape: tuple[int, int], count: int) -> None:
    rng = np.random.default_rng(count)
    faces = [
        Face(
            (float(x) - 8, float(y) - 8, 30.0, 30.0),
            np.array([[x, y]] * 5) + rng.normal(0, 3, (5, 2)),
            0.8,
            i,
        )
        for i, (x, y) in enumerate(rng.uniform(-5, [shape[1] + 5, shape[0] + 5], (count, 2)))
    ]
    picture = draw(shape, faces, rng.random((count, 12)))
    zoom = min(4.0, max(1.0, 540 / shape[0]))
    assert picture.shape[0] >= shape[0] * zoom - 1 and picture.shape[1] > shape[1] * zoom + 280
    assert picture.shape[0] % 2 == picture.shape[1] % 2 == 0, "for video"


def test_frames_of_one_size_are_drawn_in_one_size() -> None:
    some = draw((97, 131), [], np.zeros((0, 12)))
    other = draw((97, 131), [Face((10, 10, 30, 30), np.full((5, 2), 20.0), 0.8)], np.ones((1, 12)))
    assert some.shape == other.shape
