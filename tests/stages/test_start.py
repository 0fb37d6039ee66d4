"""Settings that would end a run after hours are refused before its first stage."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from pipeline.artefacts import RunDir
from pipeline.boards import FIRMWARE, PLUGIN
from pipeline.boards.board import BoardError
from pipeline.compression.methods.low_rank import LowRank
from pipeline.compression.methods.prune import Prune
from pipeline.config import Compile, Compress, Config, OnTarget, Train, Variant
from pipeline.dsp import FrontEnd
from pipeline.errors import InputError
from pipeline.networks.convnet import ConvNet
from pipeline.networks.tinylstms import TinyLSTMs
from pipeline.networks.trained import Trained, untrained
from pipeline.quantization import INT8
from pipeline.stages import compress, on_target, train
from pipeline.tools import run as pipeline_run

SIZES = TinyLSTMs(bands=16, lstm_units=(8,), dense_units=8)


def dense(bands: int = 16) -> Trained:
    front_end = FrontEnd(np.zeros(bands, np.float32), np.ones(bands, np.float32))
    return untrained(SIZES, front_end, seed=0)


def starting_from(path: Path, model: TinyLSTMs = SIZES) -> Config:
    return Config(model=model, train=Train(initial_weights=path))


@pytest.mark.parametrize(
    ("weights", "problem"),
    [
        (lambda: dataclasses.replace(dense(), scheme=INT8), "was trained in int8; give weights of"),
        (lambda: dense(bands=12), "the front end has 12 bands, the network reads 16"),
    ],
)
def test_weights_of_another_kind_are_refused(
    weights: Callable[[], Trained], problem: str, tmp_path: Path
) -> None:
    path = tmp_path / "w.safetensors"
    weights().save(path)
    with pytest.raises(InputError, match=f"w.safetensors.* {problem}"):
        train.check(starting_from(path))


def test_weights_of_another_size_are_refused_and_those_of_the_same_are_not(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    dense().save(path)
    train.check(starting_from(path))
    for model in (
        TinyLSTMs(bands=12, lstm_units=(8,), dense_units=8),
        TinyLSTMs(bands=16, lstm_units=(8, 8), dense_units=8),
        TinyLSTMs(bands=16, lstm_units=(8,), dense_units=16),
    ):
        with pytest.raises(
            InputError,
            match=r"holds a network of matrices lstm1_gates 24 x 24.*\[model\] has lstm1",
        ):
            train.check(starting_from(path, model))


def test_damaged_weights_are_refused(tmp_path: Path) -> None:
    path, header = tmp_path / "w.safetensors", {}
    path.write_bytes(b"not weights")
    with pytest.raises(InputError, match=r"w\.safetensors: not a readable safetensors file"):
        train.check(starting_from(path))
    dense().save(path)
    whole = load_file(path)
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        header = file.metadata()
    for name, damage in (
        ("dense/kernel", lambda kernel: kernel[:-1]),
        ("front_end/mean", lambda mean: mean[:-1]),
        ("front_end/deviation", lambda deviation: 0 * deviation),
    ):
        save_file(whole | {name: np.ascontiguousarray(damage(whole[name]))}, path, header)
        with pytest.raises(InputError, match=r"w\.safetensors"):
            train.check(starting_from(path))
    for missing in whole:
        save_file({n: t for n, t in whole.items() if n != missing}, path, header)
        with pytest.raises(InputError, match=r"w\.safetensors"):
            train.check(starting_from(path))
    for text in ("[]", header["network"].replace("float", "int9")):
        save_file(whole, path, {"network": text})
        with pytest.raises(InputError, match=r"w\.safetensors"):
            train.check(starting_from(path))


def blocks(rows: int, columns: int) -> Prune:
    return Prune(do="prune", structure="block", block=(rows, columns), sparsity=0.5)


def test_low_rank_pairs_that_save_nothing_are_refused() -> None:
    def pair(rank: int) -> tuple[LowRank, ...]:
        return (LowRank(do="low_rank", rank=rank),)

    first = Variant(name="first", methods=pair(16))
    for second, problem in (
        (Variant(name="second", methods=pair(384)), "reads 384 values, no smaller"),
        (Variant(name="second", parent="first", methods=pair(8)), "has low-rank pairs already"),
    ):
        with pytest.raises(InputError, match=f"variant 'second': .*{problem}"):
            compress.check(Config(compress=Compress(variants=(first, second))))
    convnet = ConvNet(network="convnet")
    compress.check(Config(model=convnet, compress=Compress(variants=(first,))))
    wide = Variant(name="wide", methods=pair(384))
    named = Variant(name="named", methods=(LowRank(do="low_rank", rank=4, matrices=("conv",)),))
    for variant, problem in ((wide, "no matrix becomes smaller"), (named, "'conv' is no matrix")):
        with pytest.raises(InputError, match=f"variant '{variant.name}': .*{problem}"):
            compress.check(Config(model=convnet, compress=Compress(variants=(variant,))))


def test_blocks_that_do_not_fit_are_refused_where_the_sizes_are_known() -> None:
    fits = Variant(name="fits", methods=(blocks(8, 8),))
    odd = Variant(name="odd", methods=(blocks(7, 8),))
    units = Variant(name="units", methods=(Prune(do="prune", structure="unit", sparsity=0.5),))
    narrower = odd.model_copy(update={"parent": "units"})
    compress.check(Config(compress=Compress(variants=(fits, units, narrower))))
    with pytest.raises(InputError, match=r"variant 'odd': matrix .* 7 x 8 blocks; choose divisors"):
        compress.check(Config(compress=Compress(variants=(fits, odd))))


@pytest.mark.parametrize("measured", [False, True])
def test_given_weights_keep_their_front_end_unless_it_is_measured(
    measured: bool, tmp_path: Path
) -> None:
    given, run_dir = dense(), RunDir(tmp_path / "run")
    given.save(tmp_path / "w.safetensors")
    run_dir.path("prepare").mkdir(parents=True)
    of_corpus = np.full(16, 0.25, np.float32)
    save_file({"mean": of_corpus, "deviation": of_corpus}, run_dir.front_end)
    settings = Train(initial_weights=tmp_path / "w.safetensors", measure_front_end=measured)
    start = train.starting_network(Config(model=SIZES, train=settings), run_dir)
    expected = of_corpus if measured else given.front_end.mean
    np.testing.assert_array_equal(start.front_end.mean, expected)
    for name, array in given.arrays.items():
        np.testing.assert_array_equal(start.arrays[name], array)


def test_a_run_without_variants_is_refused() -> None:
    with pytest.raises(InputError, match="compress.variants is empty"):
        compress.check(Config(compress=Compress(variants=())))


def test_a_run_refuses_them_before_it_prepares(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    dense().save(tmp_path / "w.safetensors")
    for options, problem in (
        ([f"--train.initial-weights={tmp_path / 'w.safetensors'}"], "holds a network of matrices"),
        ([f"--train.initial-weights={tmp_path / 'none'}"], "none: not a readable safetensors"),
    ):
        arguments = ["--config=configs/toy.toml", f"--run-dir={tmp_path / 'run'}", *options]
        monkeypatch.setattr("sys.argv", ["run", *arguments])
        with pytest.raises(SystemExit) as stop:
            pipeline_run.main()
        assert stop.value.code == 2
        said = capsys.readouterr().err
        assert problem in said and said.count("\n") == 1
        assert not (tmp_path / "run").exists()


def test_a_board_that_is_not_there_is_refused(tmp_path: Path) -> None:
    on_target.check(Config())
    missing = OnTarget(board="virtual", firmware=tmp_path / "none.elf")
    with pytest.raises(BoardError, match=r"none\.elf: no firmware there; build it with `make firm"):
        on_target.check(Config(on_target=missing))
    fvp = OnTarget(board="fvp", firmware=Path("README.md"))
    with pytest.raises(BoardError, match=r"FVP_Corstone_SSE-300_Ethos-U55 was not found"):
        on_target.check(Config(on_target=fvp))
    deep = Compile(system="Ethos_U55_Deep_Embedded")
    with pytest.raises(BoardError, match="no firmware there"):
        on_target.check(Config(on_target=missing, compile=deep))


def test_the_files_of_a_board_are_those_that_are_built_unless_told_otherwise(
    tmp_path: Path,
) -> None:
    assert OnTarget().firmware is OnTarget().plugin is None
    assert OnTarget(board="virtual").plugin == PLUGIN
    assert OnTarget(board="fvp").firmware == FIRMWARE and OnTarget(board="fvp").plugin is None
    other = OnTarget(board="virtual", firmware=tmp_path)
    assert (other.firmware, other.plugin) == (tmp_path, PLUGIN)
    # Back to none on the command line, where all settings are given again.
    assert OnTarget.model_validate(other.model_dump() | {"board": "none"}) == OnTarget()
