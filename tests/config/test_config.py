"""Settings: strict, and helpful when wrong."""

from pathlib import Path

import pytest

from pipeline.config import Config, ConfigError, Data, load

OWN_SYSTEM = """
[System_Config.My_Board]
inherit=System_Config.Ethos_U55_High_End_Embedded
core_clock=400e6
"""


def config_file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "my.toml"
    path.write_text(text)
    return path


PRUNE = 'methods = [{{ do = "prune", sparsity = 0.5, {} }}]'
OFFLINE = 'parent = "first", methods = [{ do = "prune_offline", sparsity = 0.5 }]'


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
        (
            "[model]\nnetwork = 'convnet'\nblock = 2",
            r"'model\.block'; did you mean 'model\.blocks'",
        ),
        ("[model]\nnetwork = 'convnet'\nbands = 20", r"bands = 20 is no multiple of 8"),
        ("[model]\nnetwork = 'rnn'", r"model = .*'tinylstms', 'convnet'"),
        ("sead = 3", r"my\.toml: unknown setting 'sead'; did you mean 'seed'"),
        ("[train]\nsteps = -1", r"my\.toml: train\.steps = -1: .*greater than or equal to 0"),
        ("[train]\nsteps = 'many'", r"my\.toml: train\.steps = 'many': .*valid integer"),
        ("[data]\nsource = 'folders'", r"needs data\.clean_dir"),
        ("[compress]\nvariants = [{name = 'dense'}]", r"variant name 'dense' is already taken"),
        ("[train\n", r"my\.toml: cannot be read as TOML"),
        ("seed = -1", r"seed = -1: .*greater than or equal to 0"),
        ("[train]\nlearning_rate = inf", r"train\.learning_rate = inf: .*finite"),
        ("[mixing]\nsnr_low_db = nan", r"mixing\.snr_low_db = nan: .*finite"),
        (
            "[mixing]\nsnr_low_db = 9.0\nsnr_high_db = 3.0",
            r"my\.toml: mixing: snr_low_db = 9 is above snr_high_db = 3$",
        ),
        ("[model]\nlstm_units = []", r"model\.lstm_units = \[\]: .*at least 1 item"),
        (
            "[train]\nsteps = 9\nvalidate_every = 9",
            r"train: warmup_steps = 200 is more than steps = 9",
        ),
        (
            "[train]\nsteps = 9\nwarmup_steps = 9",
            r"train: validate_every = 500 is more than steps = 9",
        ),
        (
            "[train]\nsteps = 0",
            r"train: steps = 0 trains nothing; give initial_weights, or steps",
        ),
        (
            "[compress]\nsteps = 100\nprune_every = 2",
            r"compress: validate_every = 200 is more than the 100 steps of the longest variant",
        ),
        (
            "[compress]\nprune_until = 1.0",
            r"prune_until = 1 of 2000 steps is step 2000; expected 20 \(prune_every\) to 1999",
        ),
        (
            "[compress]\nprune_every = 1500",
            r"is step 1200; expected 1500 \(prune_every\) to 1999",
        ),
        ("[compile]\naccelerator = 'ethos-u55-512'", r"compile\.accelerator = 'ethos-u55-512'"),
        ("[compile]\nsystem = 'U99'", r"compile: unknown system 'U99'; choose one of Ethos_U55"),
        (
            "[compile]\nmemory_modes = ['Flash']",
            r"unknown memory mode 'Flash'; choose one of Sram_Only, Shared_Sram$",
        ),
        ("[compile]\nmemory_modes = []", r"compile\.memory_modes = \[\]: .*at least 1 item"),
        (
            "[compile]\nmemory_modes = ['Sram_Only', 'Sram_Only']",
            r"compile\.memory_modes: 'Sram_Only' is given twice",
        ),
        ("[compile]\nvela_config = 'no.ini'", r"compile: no\.ini: cannot be read as a Vela"),
        ("[evaluate]\npeers = ['DTLN', 'DTLN']", r"evaluate\.peers: 'DTLN' is given twice"),
    ],
)
def test_mistakes_are_named_with_a_way_out(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(config_file(tmp_path, text))


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        (PRUNE.format("block = [8, 8]"), 'block is used with structure = "block" alone'),
        (PRUNE.format('structure = "unit", block = [4, 4]'), "block is used with structure"),
        (PRUNE.format("strength = 5e-4"), "unknown setting"),
        ('methods = [{ do = "prune" }]', "sparsity"),
        ('methods = [{ do = "prune", sparsity = 0.0 }]', "greater than 0"),
        ('methods = [{ do = "regularise" }]', "'learn_thresholds', 'low_rank'"),
        (f"{OFFLINE}, steps = 9", "does not use steps"),
        (f"{OFFLINE}, learning_rate = 1e-3", "not use learning_rate"),
        (f'{OFFLINE[:-1]}, {{ do = "cluster", clusters = 8 }}]', "does not use cluster"),
        (OFFLINE.replace('parent = "first", ', ""), "needs a trained integer model"),
    ],
)
def test_settings_without_effect_are_refused(tmp_path: Path, settings: str, problem: str) -> None:
    path = config_file(
        tmp_path,
        f'[compress]\nvariants = [{{ name = "first" }},\n{{ name = "second", {settings} }}]',
    )
    with pytest.raises(ConfigError, match=r"(variant 'second'|compress\.variants\.1)") as error:
        load(path)
    assert problem in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("source", "folder", "users"),
    [
        ("embedded", "clean_dir", '"folders" or "paired"'),
        ("debian", "noise_dir", '"folders"'),
        ("folders", "noisy_dir", '"paired"'),
        ("paired", "noise_dir", '"folders"'),
    ],
)
def test_folders_that_a_source_does_not_use_are_refused(
    tmp_path: Path, source: str, folder: str, users: str
) -> None:
    needed = {"folders": ("clean_dir", "noise_dir"), "paired": ("clean_dir", "noisy_dir")}
    lines = [f"{name} = '.'" for name in {*needed.get(source, ()), folder}]
    path = config_file(tmp_path, "\n".join(["[data]", f"source = '{source}'", *lines]))
    with pytest.raises(ConfigError, match=f"does not use data.{folder}; .* source = {users}"):
        load(path)


@pytest.mark.parametrize(
    "setting", ["synthetic_minutes = 1.0", "extra_speech_dirs = ['.']", "extra_noise_dirs = ['.']"]
)
def test_nothing_is_added_to_ready_made_pairs(tmp_path: Path, setting: str) -> None:
    pairs = "[data]\nsource = 'paired'\nclean_dir = '.'\nnoisy_dir = '.'\n"
    with pytest.raises(ConfigError, match=f"does not use data.{setting.split()[0]}; leave it out"):
        load(config_file(tmp_path, pairs + setting))
    load(config_file(tmp_path, f"[data]\n{setting}"))


@pytest.mark.parametrize("source", ["embedded", "folders", "paired"])
def test_more_packages_are_refused_where_there_are_none(tmp_path: Path, source: str) -> None:
    needed = {"folders": ("clean_dir", "noise_dir"), "paired": ("clean_dir", "noisy_dir")}
    lines = [f"{name} = '.'" for name in needed.get(source, ())]
    text = "\n".join(["[data]", f"source = '{source}'", "more_packages = {}", *lines])
    load(config_file(tmp_path, text.format("false")))
    with pytest.raises(
        ConfigError,
        match=f'"{source}" does not use data.more_packages; leave it out, .* source = "debian"',
    ):
        load(config_file(tmp_path, text.format("true")))
    data = load(config_file(tmp_path, "[data]\nsource = 'debian'\nmore_packages = true")).data
    assert data.model_dump()["more_packages"] is True


def test_what_is_not_added_is_no_part_of_the_settings() -> None:
    added = {"synthetic_minutes", "more_packages", "extra_speech_dirs", "extra_noise_dirs"}
    assert not added & set(Config().data.model_dump())
    assert not added & set(Data(source="debian", more_packages=False).model_dump())


def test_snr_of_ready_made_pairs_is_refused(tmp_path: Path) -> None:
    pairs = "[data]\nsource = 'paired'\nclean_dir = '.'\nnoisy_dir = '.'\n"
    load(config_file(tmp_path, pairs))
    with pytest.raises(ConfigError, match="mixing.snr_low_db and snr_high_db are not used"):
        load(config_file(tmp_path, pairs + "[mixing]\nsnr_low_db = 0.0"))


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    path = tmp_path / "notepad.toml"
    path.write_bytes(b"\xef\xbb\xbfseed = 3\r\n")
    assert load(path).seed == 3


def test_your_own_systems_are_known_beside_arms(tmp_path: Path) -> None:
    (tmp_path / "own.ini").write_text(OWN_SYSTEM)
    own = f"vela_config = '{tmp_path / 'own.ini'}'"
    text = f"[compile]\n{own}\nsystem = 'My_Board'\n"
    text += "[study]\ndeployments = [{ system = 'My_Board' }]"
    assert load(config_file(tmp_path, text)).compile.system == "My_Board"
    load(config_file(tmp_path, f"[compile]\n{own}"))
    with pytest.raises(ConfigError, match=r"unknown system 'Mine'.*High_End_Embedded, My_Board"):
        load(config_file(tmp_path, f"[compile]\n{own}\nsystem = 'Mine'"))
    with pytest.raises(ConfigError, match=r"unknown system 'My_Board'"):
        load(config_file(tmp_path, "[study]\ndeployments = [{ system = 'My_Board' }]"))


def test_a_missing_file_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.toml: cannot be read"):
        load(tmp_path / "nowhere.toml")


def test_settings_cannot_be_changed_by_accident() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Config().train.steps = 3  # type: ignore[misc]
