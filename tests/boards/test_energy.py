"""The estimate of a hop's energy."""

from __future__ import annotations

import pytest

from pipeline.boards.energy import hop_energy_uj


def test_every_count_has_its_constant() -> None:
    assert hop_energy_uj(1e6) == pytest.approx(70)
    assert hop_energy_uj(0, 1e6, 128) == pytest.approx(0.3 * 128)
    assert hop_energy_uj(0, sram_beats=1e6) == pytest.approx(100)
    assert hop_energy_uj(0, flash_beats=1e6) == pytest.approx(1300)
    assert hop_energy_uj(1e6, 1e6, 128, 1e6, 1e6) == pytest.approx(70 + 38.4 + 100 + 1300)
