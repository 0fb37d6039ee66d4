"""A burst in patches: what is computed again, what is kept, and that no byte depends on it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import InputError
from pipeline.networks.convnet import ConvNet
from pipeline.networks.trained import Trained, untrained
from pipeline.quantization import INT8
from pipeline.quantization.calibration import in_scheme
from pipeline.tools.patches import halo_hops, main, patched
from tests.networks.agreement_of_views import features
from tests.small_networks import front_end, trained_looking

CONVNET = ConvNet(
    network="convnet", bands=16, outer_channels=8, channels=8, blocks=2, taps=2, dilations=(1, 2)
)


@pytest.fixture(scope="module")
def trained() -> Trained:
    start = trained_looking(untrained(CONVNET, front_end(16), 1), 1)
    return in_scheme(start.folded(), INT8, features(1, bands=16))


def test_the_halo_is_the_sum_of_the_delays() -> None:
    assert halo_hops(CONVNET.define()) == 3
    assert halo_hops(ConvNet(network="convnet").define()) == 2 * (1 + 2 + 4 + 8) * 2


def test_patches_that_compute_or_keep_their_halo_equal_hops(trained: Trained) -> None:
    again, kept = patched(trained, 8, 4, "again"), patched(trained, 8, 4, "kept")
    assert again.equal and kept.equal
    assert (again.hops, again.kept_bytes) == (2 + 3, 0)
    # Two bands of eight channels, one and two hops back.
    assert (kept.hops, kept.kept_bytes) == (2, 2 * 8 * (1 + 2))
    assert again.npu_cycles > kept.npu_cycles and again.arena_bytes > kept.arena_bytes
    with pytest.raises(InputError, match="8 hops are no whole number of 3 patches"):
        patched(trained, 8, 3, "kept")


def test_the_command_prints_a_row_a_patching(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained.save(tmp_path / "net.safetensors")
    main([str(tmp_path / "net.safetensors"), "--hops", "4", "--patches", "1", "2"])
    rows = [line for line in capsys.readouterr().out.splitlines() if line.endswith("| yes |")]
    kept = [int(row.split("|")[4]) for row in rows]
    assert kept == [0, kept[3], 0, 2 * 8 * (1 + 2)]
    assert [row.split("|")[1].strip() for row in rows] == [
        "1, halo none", "2, halo kept", "2, halo again", "4, halo with the host",
    ]  # fmt: skip
    with pytest.raises(SystemExit):
        main([str(tmp_path / "net.safetensors"), "--hops", "0"])
    assert "give numbers above 0" in capsys.readouterr().err
