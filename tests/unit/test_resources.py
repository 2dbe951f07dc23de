"""Where embedded files lie."""

import pytest

from flowcast.resources import embedded_names, embedded_path


def test_embedded_models_and_data_are_found_by_name() -> None:
    assert "europe_2024" in embedded_names("models")
    assert embedded_path("models", "europe_2024", "model.yaml").is_file()
    assert embedded_names("models") == sorted(embedded_names("models"))
    assert embedded_names("nothing") == []


def test_what_is_not_embedded_is_named() -> None:
    with pytest.raises(FileNotFoundError, match="models/atlantis"):
        embedded_path("models", "atlantis")
