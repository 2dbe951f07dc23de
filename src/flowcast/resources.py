"""Where the embedded data, models and code lists lie: in the repository, or inside the wheel."""

from pathlib import Path

__all__ = ["embedded_files", "embedded_names", "embedded_path"]

_PACKAGE = Path(__file__).resolve().parent


def _root() -> Path:
    """Return the folder that holds `data/`, `models/` and `scenarios/`.

    They live at the top of the repository and are copied into the wheel as `_embedded/`, so an
    installed package finds them beside its modules and a checkout finds them two levels up.
    """
    inside = _PACKAGE / "_embedded"
    return inside if inside.is_dir() else _PACKAGE.parents[1]


def embedded_path(*parts: str) -> Path:
    """Return the path of an embedded file or folder.

    Parameters
    ----------
    *parts
        Path below the root, such as ``"models", "europe_2024", "model.yaml"``.

    Raises
    ------
    FileNotFoundError
        If the package was installed without it.

    Examples
    --------
    >>> embedded_path("models", "europe_2024", "model.yaml").name
    'model.yaml'
    """
    path = _root().joinpath(*parts)
    if not path.exists():
        raise FileNotFoundError(f"not embedded in this installation: {'/'.join(parts)}")
    return path


def embedded_names(kind: str) -> list[str]:
    """Return the names of the embedded `kind` (``"models"`` or ``"data"``), sorted."""
    folder = _root() / kind
    return sorted(p.name for p in folder.iterdir() if p.is_dir()) if folder.is_dir() else []


def embedded_files(kind: str, suffix: str) -> list[Path]:
    """Return the embedded files of a kind that lies in one folder (``"scenarios"``), sorted.

    Examples
    --------
    >>> embedded_files("scenarios", ".yaml")[0].name
    'baseline.yaml'
    """
    folder = _root() / kind
    return sorted(folder.glob(f"*{suffix}")) if folder.is_dir() else []
