from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from drml.data.landmark_files import landmarks_path, read_landmarks, write_landmarks
from drml.io.errors import UserError
from tiny_net import file_size_limit

KEYS = ["00000000_F001_T1_0001", "00000001_F001_T1_0002"]
POINTS = np.arange(2 * 49 * 2, dtype=np.float32).reshape(2, 49, 2)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = landmarks_path(tmp_path / "val_lmdb")
    assert path == tmp_path / "val_landmarks.npz"
    write_landmarks(path, KEYS, POINTS)
    found = read_landmarks(path)
    assert list(found) == KEYS
    np.testing.assert_array_equal(np.stack(list(found.values())), POINTS)
    with pytest.raises(ValueError, match="for 1 keys"):
        write_landmarks(path, KEYS[:1], POINTS)


def test_data_without_landmarks_are_to_be_prepared_again(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there are no landmarks with these data; prepare the data again"):
        read_landmarks(tmp_path / "test_landmarks.npz")


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x_landmarks.npz"
    for content in (b"", b"no zip", b"PK\x03\x04 cut"):
        path.write_bytes(content)
        with pytest.raises(UserError, match="cannot be read as landmarks"):
            read_landmarks(path)
    np.savez(path, keys=np.array(KEYS))
    with pytest.raises(UserError, match="cannot be read as landmarks"):
        read_landmarks(path)
    np.savez(path, keys=np.array(KEYS, np.bytes_), landmarks=POINTS[:1])
    with pytest.raises(UserError, match="not landmarks as drml prepare writes them"):
        read_landmarks(path)
    np.savez(path, keys=np.array(KEYS, np.bytes_), landmarks=POINTS * np.float32(np.nan))
    with pytest.raises(UserError, match="not landmarks as drml prepare writes them"):
        read_landmarks(path)


def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    with file_size_limit(100), pytest.raises(OSError, match="x_landmarks"):
        write_landmarks(tmp_path / "x_landmarks.npz", KEYS, POINTS)
    assert not list(tmp_path.iterdir())
