"""Folders are there whole or not at all, whatever happens while they are filled."""

import os
from pathlib import Path

import pytest

from flowcast import _atomic
from flowcast._atomic import atomic_folder, partial_folders


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def fill(target: Path, text: str) -> None:
    with atomic_folder(target) as partial:
        (partial / "inner").mkdir()
        (partial / "inner" / "file.txt").write_text(text)


def fill_half(target: Path, error: BaseException) -> None:
    with atomic_folder(target) as partial:
        (partial / "half.txt").write_text("half")
        raise error


def test_a_folder_appears_with_all_its_files_and_nothing_else(tmp_path: Path) -> None:
    fill(tmp_path / "deep" / "run", "one")
    assert names(tmp_path / "deep") == ["run"]
    assert (tmp_path / "deep" / "run" / "inner" / "file.txt").read_text() == "one"


def test_while_it_is_filled_nothing_stands_at_the_target(tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "run") as partial:
        assert not (tmp_path / "run").exists()
        assert partial.parent == tmp_path
        assert partial.name.startswith(".run.partial-")
        assert partial_folders(tmp_path / "run") == [partial]


def test_the_folder_obeys_the_umask_like_any_other(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    fill(tmp_path / "run", "one")
    assert (tmp_path / "run").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_relative_target_stays_where_it_was_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    with atomic_folder(Path("run")) as partial:
        (partial / "file.txt").write_text("one")
        os.chdir(tmp_path / "elsewhere")
    assert names(tmp_path) == ["elsewhere", "run"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_whatever_is_raised_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    with pytest.raises(error):
        fill_half(tmp_path / "run", error())
    assert names(tmp_path) == []


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_whatever_is_raised_leaves_the_old_folder(
    tmp_path: Path, error: type[BaseException]
) -> None:
    fill(tmp_path / "run", "old")
    with pytest.raises(error):
        fill_half(tmp_path / "run", error())
    assert names(tmp_path) == ["run"]
    assert (tmp_path / "run" / "inner" / "file.txt").read_text() == "old"


def test_an_old_folder_is_replaced_whole(tmp_path: Path) -> None:
    fill(tmp_path / "run", "old")
    (tmp_path / "run" / "extra.txt").write_text("of the old one")
    fill(tmp_path / "run", "new")
    assert names(tmp_path) == ["run"]
    assert names(tmp_path / "run") == ["inner"]
    assert (tmp_path / "run" / "inner" / "file.txt").read_text() == "new"


def test_if_the_new_folder_cannot_be_renamed_the_old_one_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path / "run", "old")
    rename = Path.rename

    def fail(self: Path, target: Path) -> Path:
        if ".partial-" in self.name:
            raise OSError("no")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(OSError, match="no"):
        fill(tmp_path / "run", "new")
    assert names(tmp_path) == ["run"]
    assert (tmp_path / "run" / "inner" / "file.txt").read_text() == "old"


def test_what_a_dead_process_left_is_swept_away(tmp_path: Path) -> None:
    dead = tmp_path / ".run.partial-0000"
    dead.mkdir()
    (dead / "half.txt").write_text("half")
    other = tmp_path / ".another.partial-0000"
    other.mkdir()
    fill(tmp_path / "run", "one")
    assert names(tmp_path) == [".another.partial-0000", "run"]


def test_what_a_living_process_writes_is_left_alone(tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "run") as first:
        (first / "who.txt").write_text("first")
        with atomic_folder(tmp_path / "run") as second:
            (second / "who.txt").write_text("second")
        assert (first / "who.txt").read_text() == "first"
    assert names(tmp_path) == ["run"]
    assert (tmp_path / "run" / "who.txt").read_text() == "first"


def test_a_folder_moved_aside_by_a_process_that_died_is_put_back(tmp_path: Path) -> None:
    """Killed between the two renames: the old folder must not be lost if the new one fails."""
    fill(tmp_path / "run", "old")
    (tmp_path / "run").rename(tmp_path / ".run.replaced-0000")
    with pytest.raises(ValueError, match="again"):
        fill_half(tmp_path / "run", ValueError("again"))
    assert names(tmp_path) == ["run"]
    assert (tmp_path / "run" / "inner" / "file.txt").read_text() == "old"


def test_a_folder_moved_aside_is_removed_where_a_new_one_stands(tmp_path: Path) -> None:
    fill(tmp_path / "run", "new")
    (tmp_path / ".run.replaced-0000").mkdir()
    fill(tmp_path / "run", "newer")
    assert names(tmp_path) == ["run"]


def test_everything_is_flushed_before_the_rename(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, bool]] = []
    flush = _atomic._flush_one

    def remember(path: Path) -> None:
        seen.append((path.name, (tmp_path / "run").exists()))
        flush(path)

    monkeypatch.setattr(_atomic, "_flush_one", remember)
    fill(tmp_path / "run", "one")
    before = {name.split(".partial")[0] for name, there in seen if not there}
    after = [name for name, there in seen if there]
    assert before == {"inner", "file.txt", ".run"}
    assert after == [tmp_path.name]


def test_without_locks_the_folder_is_written_and_remains_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some network file systems have none: nobody can say then whose remains they are."""

    def refuse(*_: object) -> None:
        raise OSError("no locks")

    monkeypatch.setattr("flowcast._atomic.fcntl.flock", refuse)
    (tmp_path / ".run.partial-0000").mkdir()
    fill(tmp_path / "run", "one")
    assert names(tmp_path) == [".run.partial-0000", "run"]


def test_partial_folders_of_a_missing_place_are_none(tmp_path: Path) -> None:
    assert partial_folders(tmp_path / "no" / "such" / "run") == []
