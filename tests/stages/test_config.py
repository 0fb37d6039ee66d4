"""Settings: strict, and helpful when wrong."""

from pathlib import Path

import pytest

from pipeline.config import Config, ConfigError, Model, load


def config_file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "my.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("path", sorted(Path("configs").glob("*.toml")), ids=lambda p: p.stem)
def test_shipped_configs_load(path: Path) -> None:
    load(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[train]\nstep = 3",
            r"my\.toml: unknown setting 'train\.step'; did you mean 'train\.steps'",
        ),
        ("sead = 3", r"my\.toml: unknown setting 'sead'; did you mean 'seed'"),
        ("[train]\nsteps = 0", r"my\.toml: train\.steps = 0: .*greater than 0"),
        ("[train]\nsteps = 'many'", r"my\.toml: train\.steps = 'many': .*valid integer"),
        ("[data]\nsource = 'folders'", r"needs data\.clean_dir"),
        ("[compress]\nvariants = [{name = 'dense'}]", r"variant name 'dense' is already taken"),
        ("[train\n", r"my\.toml: cannot be read as TOML"),
    ],
)
def test_mistakes_are_named_with_a_way_out(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(config_file(tmp_path, text))


def test_a_missing_file_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.toml: cannot be read"):
        load(tmp_path / "nowhere.toml")


def test_settings_cannot_be_changed_by_accident() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Config().train.steps = 3  # type: ignore[misc]


def test_networks_without_low_rank_pairs_are_described_as_before_there_were_any() -> None:
    assert "lstm_ranks" not in Config().model.model_dump(mode="json")
    assert Model(lstm_ranks=(0, 0)) == Model()
    pairs = Config().model.model_copy(update={"lstm_ranks": (8, 0)})
    assert pairs.model_dump(mode="json")["lstm_ranks"] == [8, 0]
