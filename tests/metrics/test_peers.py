"""The peers' streaming shells, run around transparent networks whose output is known."""

import builtins
import ctypes
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pipeline.corpora.prepared import open_split
from pipeline.corpora.store import StoreWriter
from pipeline.corpora.testset import draw_list, write_list
from pipeline.dsp import ideal_ratio_mask
from pipeline.errors import InputError
from pipeline.metrics import peer_models, peers
from pipeline.metrics.dnsmos import Dnsmos, OpinionScores
from pipeline.metrics.peer_models import (
    DeepFilterNet3,
    Dtln,
    Gtcrn,
    Peer,
    Rnnoise,
    Signal,
    UlUnas,
)
from pipeline.metrics.peers import Mixture, as_json, as_tables, compare, enhancers
from pipeline.metrics.quality import si_sdr_db
from pipeline.pinned_packages import PinnedError
from pipeline.reporting.table import markdown

SHIPPED = Path("tflite_models/unit57-rank64-weight65.tflite")
LENGTHS = [1, 127, 128, 255, 256, 257, 511, 512, 513, 16_000, 16_137]


class TransparentSpectrum:
    """Returns its spectrum; insists that the caches it returned come back."""

    def __init__(self, caches: tuple[str, ...]) -> None:
        self.frames = 0
        self.caches = caches

    def run(self, outputs: None, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
        assert feeds["mix"].shape == (1, 257, 1, 2) and feeds["mix"].dtype == np.float32
        caches = [feeds[name] for name in self.caches]
        assert all((cache == self.frames).all() for cache in caches)
        self.frames += 1
        return [feeds["mix"], *(cache + 1 for cache in caches)]


class TransparentDtln:
    """Half of DTLN returning `output(values)`; insists that the state it returned comes back."""

    def __init__(self, output: Callable[[np.ndarray], np.ndarray]) -> None:
        self.output = output
        self.frames = 0

    def get_inputs(self) -> list[Any]:
        return [SimpleNamespace(name="values"), SimpleNamespace(name="state")]

    def run(self, outputs: None, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
        assert feeds["state"].shape == (1, 2, 128, 2) and (feeds["state"] == self.frames).all()
        assert feeds["values"].dtype == np.float32
        self.frames += 1
        return [self.output(feeds["values"]), feeds["state"] + 1]


class TransparentRnnoise:
    """RNNoise's C interface around a pure delay of two frames; counts what it allocates."""

    def __init__(self) -> None:
        self.alive = 0
        self.peak = 0.0

    def rnnoise_create(self, model: None) -> int:
        self.alive += 1
        self.memory = [np.zeros(480, np.float32)] * 2
        return 1

    def rnnoise_process_frame(self, state: int, target: int, source: int) -> float:
        frame, out = (
            np.ctypeslib.as_array((ctypes.c_float * 480).from_address(address))
            for address in (source, target)
        )
        self.peak = max(self.peak, float(np.abs(frame).max()))
        self.memory.append(frame.copy())
        out[:] = self.memory.pop(0)
        return 1.0

    def rnnoise_destroy(self, state: int) -> None:
        self.alive -= 1


def transparent_gtcrn() -> Gtcrn:
    return Gtcrn(TransparentSpectrum(("conv_cache", "tra_cache", "inter_cache")))


def transparent_ulunas() -> UlUnas:
    return UlUnas(TransparentSpectrum(("conv_cache", "tfa_cache", "inter_cache")))


def transparent_dtln() -> Dtln:
    # Each sample lies in four blocks, which DTLN adds without a window.
    return Dtln(TransparentDtln(np.ones_like), TransparentDtln(lambda block: block / 4))


def low_passed(samples: int) -> np.ndarray:
    """Noise below 4 kHz that starts and ends at zero, so resampling loses nothing."""
    spectrum = np.fft.rfft(np.random.default_rng(0).standard_normal(samples))
    spectrum[len(spectrum) // 2 :] = 0
    signal: np.ndarray = np.fft.irfft(spectrum, samples) * np.hanning(samples)
    scaled: np.ndarray = 0.5 * signal / np.abs(signal).max()
    return scaled.astype(np.float32)


@pytest.mark.parametrize("samples", LENGTHS)
@pytest.mark.parametrize("make", [transparent_gtcrn, transparent_ulunas, transparent_dtln])
def test_a_transparent_network_returns_the_input_aligned(
    make: Callable[[], Peer], samples: int
) -> None:
    noisy = np.random.default_rng(samples).uniform(-1, 1, samples).astype(np.float32)
    enhanced = make().enhance(noisy)
    assert enhanced.dtype == np.float32 and enhanced.shape == noisy.shape
    np.testing.assert_allclose(enhanced, noisy, atol=1e-5)


def test_rnnoise_runs_on_the_16_bit_scale_and_comes_back_aligned() -> None:
    library = TransparentRnnoise()
    noisy = low_passed(16_137)
    enhanced = Rnnoise(library).enhance(noisy)
    assert enhanced.dtype == np.float32 and enhanced.shape == noisy.shape
    np.testing.assert_allclose(enhanced, noisy, atol=2e-3)
    assert 15_000 < library.peak < 18_000
    assert library.alive == 0


@pytest.mark.parametrize("samples", LENGTHS)
def test_rnnoise_keeps_the_length(samples: int) -> None:
    noisy = np.full(samples, 0.1, np.float32)
    assert Rnnoise(TransparentRnnoise()).enhance(noisy).shape == (samples,)


def test_rnnoise_state_is_released_when_a_frame_fails() -> None:
    library = TransparentRnnoise()

    def fail(state: int, target: int, source: int) -> float:
        raise RuntimeError("broken frame")

    library.rnnoise_process_frame = fail  # type: ignore[method-assign]
    with pytest.raises(RuntimeError, match="broken frame"):
        Rnnoise(library).enhance(np.zeros(480, np.float32))
    assert library.alive == 0


class TransparentDeepFilter:
    """DeepFilterNet's C interface around a pure delay of three frames; counts its states."""

    def __init__(self) -> None:
        self.alive = 0

    def df_create(self, model: bytes, limit_db: float, log_level: None) -> int:
        assert model == b"model.tar.gz" and limit_db == 100
        self.alive += 1
        self.memory = [np.zeros(480, np.float32)] * 3
        return 1

    def df_process_frame(self, state: int, source: int, target: int) -> float:
        frame, out = (
            np.ctypeslib.as_array((ctypes.c_float * 480).from_address(address))
            for address in (source, target)
        )
        self.memory.append(frame.copy())
        out[:] = self.memory.pop(0)
        return 0.0

    def df_free(self, state: int) -> None:
        self.alive -= 1


def test_deepfilternet_comes_back_aligned_and_releases_its_state() -> None:
    library = TransparentDeepFilter()
    noisy = low_passed(16_137)
    enhanced = DeepFilterNet3(library, b"model.tar.gz").enhance(noisy)
    assert enhanced.dtype == np.float32 and enhanced.shape == noisy.shape
    np.testing.assert_allclose(enhanced, noisy, atol=2e-3)
    assert library.alive == 0


def test_ulunas_has_to_be_given_and_is_checked(tmp_path: Path) -> None:
    with pytest.raises(PinnedError, match=r"ulunas_stream_simple\.onnx.*no such file.*github"):
        UlUnas.load(tmp_path)
    (tmp_path / "ulunas_stream_simple.onnx").write_bytes(b"another network")
    with pytest.raises(PinnedError, match="SHA-256 is"):
        UlUnas.load(tmp_path)


def test_without_onnxruntime_the_extra_to_install_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_import = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "onnxruntime":
            raise ImportError(name)
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.setattr(peer_models, "fetch", lambda *_: pytest.fail("downloaded for nothing"))
    for peer in (Gtcrn, Dtln):
        with pytest.raises(InputError, match=r"optional: pip install \.\[peers\]"):
            peer.load(tmp_path)


@dataclass(frozen=True)
class Clip:
    name: str
    snr_db: float
    clean: Signal
    noisy: Signal


def mixtures() -> list[Mixture]:
    rng = np.random.default_rng(3)
    made: list[Mixture] = []
    for i, snr_db in enumerate((0.0, 6.0, 0.0, 6.0)):
        clean = rng.standard_normal(16_000).astype(np.float32) * 0.1
        noise = rng.standard_normal(16_000).astype(np.float32) * 0.1 * 10 ** (-snr_db / 20)
        made.append(Clip(f"clip{i}", snr_db, clean, (clean + noise).astype(np.float32)))
    return made


class Halve:
    def enhance(self, noisy: np.ndarray) -> np.ndarray:
        return noisy / 2


def test_comparison_has_every_enhancer_and_measures_against_the_mixture() -> None:
    made = mixtures()
    table = enhancers({"half": Halve()}, bands=128)
    results = {result.name: result for result in compare(table, made)}
    assert list(results) == ["noisy", "half", "ideal ratio mask"]
    assert [row.clip for row in results["half"].rows] == [m.name for m in made]
    overall = {name: result.summary.overall for name, result in results.items()}
    assert overall["noisy"]["si_sdri_db"].mean == 0.0
    assert overall["half"]["si_sdri_db"].mean == pytest.approx(0, abs=1e-4)  # scale-invariant
    bound = [si_sdr_db(m.clean, ideal_ratio_mask(m.noisy, m.clean, 128)) for m in made]
    assert [row.scores.si_sdr_db for row in results["ideal ratio mask"].rows] == bound
    assert overall["ideal ratio mask"]["si_sdri_db"].mean > 0.5  # the noise is white, as the speech
    assert results["noisy"].summary.per_snr_db[6.0]["si_sdr_db"].mean == pytest.approx(6, abs=0.3)


def test_a_bad_output_names_the_enhancer_and_the_clip() -> None:
    class Short:
        def enhance(self, noisy: np.ndarray) -> np.ndarray:
            return noisy[:-1]

    table = enhancers({"short": Short()}, bands=128)
    with pytest.raises(ValueError, match="short: clip0: clean has 16000 samples, estimate 15999"):
        list(compare(table, mixtures()))


def test_dnsmos_is_scored_where_it_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Listener:
        def __call__(self, signal: Signal) -> OpinionScores:
            return OpinionScores(1.0, 2.0, float(np.abs(signal).max() > 0) + 3.0)

    monkeypatch.setattr(Dnsmos, "load", classmethod(lambda cls, cache_dir: Listener()))
    table = enhancers({"half": Halve()}, bands=128)
    plain = as_json(compare(table, mixtures()))
    heard = as_json(compare(table, mixtures(), dnsmos_cache=tmp_path))
    opinions = {"dnsmos_speech": 1.0, "dnsmos_background": 2.0, "dnsmos_overall": 4.0}
    for name in table:
        assert "dnsmos_overall" not in plain[name]["overall"]
        clip = heard[name]["clips"]["clip0"]
        assert clip == plain[name]["clips"]["clip0"] | opinions
        assert heard[name]["overall"]["dnsmos_overall"]["mean"] == 4.0


def test_table_and_json_hold_the_same_figures_and_count_what_has_no_value() -> None:
    made = mixtures()
    time_s = np.arange(16_000) / 16_000
    made[0].clean[:] = np.sin(2 * np.pi * 20 * time_s)  # PESQ hears nothing below its band
    made[0].noisy[:] = 0.5 * made[0].clean
    steps: list[tuple[str, int, int]] = []
    table = {"noisy": enhancers({}, bands=128)["noisy"]}
    results = list(compare(table, made, progress=lambda *step: steps.append(step)))
    assert steps == [("noisy", done, 4) for done in (1, 2, 3, 4)]

    data = json.loads(json.dumps(as_json(results), allow_nan=False))["noisy"]
    assert data["clips"]["clip0"]["pesq_wb"] is None
    pesq = data["overall"]["pesq_wb"]
    assert (pesq["valid"], pesq["total"]) == (3, 4)
    assert pesq["mean"] == pytest.approx(
        np.mean([data["clips"][f"clip{i}"]["pesq_wb"] for i in (1, 2, 3)])
    )
    lines = markdown(as_tables(results)).splitlines()
    assert lines[0] == "| overall | si_sdr_db | si_sdri_db | sdr_db | sdri_db | pesq_wb | stoi |"
    assert f"| {pesq['mean']:.3f} ± {pesq['standard_error']:.3f} (3 of 4) |" in lines[2]
    assert [line.split("|")[1].strip() for line in lines if line.startswith("|")][3::3] == [
        "0 dB",
        "6 dB",
    ]


def test_command_line_scores_a_mixture_list_and_reports_errors_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(4)
    for role, kind in (("speech", "speech"), ("noise", "ambience")):
        writer = StoreWriter(tmp_path / "test" / role)
        samples = 0.1 * rng.standard_normal(20_000)
        origin = {"source": "made", "speaker": "one", "licence": "CC0"}
        writer.append(samples, name=f"{role}.wav", kind=kind, **origin)
        writer.close()
    stores = open_split(tmp_path, "test")
    drawn = draw_list(
        *stores, prefix="t", snrs_db=(0, 6), kinds=("ambience",), samples=16_000, seed=1
    )
    write_list(drawn, tmp_path / "list.json")
    monkeypatch.setattr(peers, "load_peers", lambda cache_dir, names: {"half": Halve()})
    output = tmp_path / "out.json"
    options = ["--corpus", str(tmp_path), "--mixtures", str(tmp_path / "list.json")]
    options += ["--cache", str(tmp_path), "--output", str(output), "--workers", "1"]
    options += ["--model", str(SHIPPED)]

    peers.main(options)
    printed = capsys.readouterr()
    results = json.loads(output.read_text())
    assert list(results) == ["noisy", "half", "ideal ratio mask", SHIPPED.stem]
    assert list(results[SHIPPED.stem]["clips"]) == ["t-000", "t-001"]
    assert list(results["half"]["clips"]) == ["t-000", "t-001"]
    mean = results["half"]["overall"]["si_sdr_db"]["mean"]
    assert mean == pytest.approx(3, abs=0.3)
    assert f"| half | {mean:.3f} ± " in printed.out
    assert "half" in printed.err and "2/2" in printed.err

    output.unlink()
    (tmp_path / "list.json").write_text("{}")
    with pytest.raises(SystemExit) as stop:
        peers.main(options)
    assert stop.value.code == 2 and not output.exists()
    assert "error: " in (message := capsys.readouterr().err) and "list.json: not a mix" in message
    alone = tmp_path / "alone.tflite"
    shutil.copy(SHIPPED, alone)
    with pytest.raises(SystemExit):
        peers.main([*options, str(alone)])
    assert "alone" in (message := capsys.readouterr().err) and "front_end" in message
    for wrong, problem in (
        (tmp_path / "absent.tflite", "absent.tflite: no such"),
        (SHIPPED, "two"),
    ):
        with pytest.raises(SystemExit):
            peers.main([*options, str(wrong)])
        assert problem in capsys.readouterr().err
