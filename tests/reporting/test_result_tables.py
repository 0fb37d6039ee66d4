"""Tables, charts and sentences say what the cards say; a damaged card is named."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from typing import Any

import pytest
from synthetic_run import MODES, all_results

from pipeline.reporting import charts, page, story, tables
from pipeline.reporting.results import Results, ResultsError, read_results

Cards = dict[str, dict[str, Any]]


def cards() -> Cards:
    return copy.deepcopy({k: v for k, v in all_results().items() if k != "prepare"})


def read(change: Callable[[Cards], object] = lambda cards: None) -> Results:
    changed = cards()
    change(changed)
    return read_results(changed)


def column(table: tables.Table, heading: str) -> dict[str, str]:
    place = table.columns.index(heading)
    return {row.cells[0]: row.cells[place] for row in table.rows}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c["train"].pop("history"), "results of train: history"),
        (
            lambda c: c["evaluate"]["systems"]["noisy"]["overall"].pop("stoi"),
            r"of evaluate: systems\.noisy\.overall.*no stoi",
        ),
        (
            lambda c: c["compile"]["plain"]["Shared_Sram"].update(arena_bytes="much"),
            r"of compile: plain\.Shared_Sram\.arena_bytes",
        ),
        (
            lambda c: c["evaluate"]["systems"].pop("dense_float"),
            r"of evaluate: system 'dense_float' is missing; run `python -m",
        ),
        (
            lambda c: c["estimate"]["plain"][0].update(source="guess"),
            r"of estimate: plain\.0\.source",
        ),
    ],
)
def test_damaged_card_is_named(change: Callable[[Cards], object], words: str) -> None:
    with pytest.raises(ResultsError, match=words):
        read(change)


def test_sources_never_share_a_column() -> None:
    board = {
        "source": "board",
        "memory_mode": "Shared_Sram",
        "npu_cycles": None,
        "total_cycles": 777,
        "latency_us": 1.554,
    }
    results = read(lambda c: c["estimate"]["weight80"].append(board))
    table = tables.cost(results)
    measured = column(table, "Latency, µs (board)")
    assert measured["weight80, weights in flash"] == "1.6"
    assert {v for k, v in measured.items() if k != "weight80, weights in flash"} == {
        tables.NO_VALUE
    }
    assert column(table, "NPU cycles (board)")["weight80, weights in flash"] == tables.NO_VALUE
    estimated = column(table, "Latency, µs (vela)")
    assert estimated == column(tables.cost(read()), "Latency, µs (vela)")
    assert "1.6" not in estimated.values()


def test_overview_joins_quality_size_and_cost() -> None:
    table = tables.overview(read())
    compiled = all_results()["compile"]["weight80"][MODES[0]]
    (row,) = [row.cells for row in table.rows if row.cells[0] == "weight80, int8"]
    assert row == (
        "weight80, int8",
        *("9.65", "8.15", "10.15", "2.04", "0.832"),
        f"{compiled['flash']['total']:,}",
        f"{compiled['arena_bytes']:,}",
        "50,000",
        f"{compiled['total_cycles']:,}",
        f"{compiled['latency_us']:,.1f}",
    )
    assert "weight80, float" not in column(table, "STOI")
    measured = {"memory_mode": MODES[0], "source": "fvp", "npu_cycles": 1, "latency_us": 2.0}
    more = read(lambda c: c["estimate"]["weight80"].append(measured | {"total_cycles": 3}))
    assert tables.overview(more).columns == table.columns
    assert len(tables.cost(more).columns) > len(tables.cost(read()).columns)
    assert column(table, "Flash, bytes")["Dense, float32"] == tables.NO_VALUE


def test_quality_says_how_sure_and_over_how_many_clips() -> None:
    def spoil(c: Cards) -> None:
        metrics = c["evaluate"]["systems"]["noisy"]["overall"]
        metrics["pesq_wb"] |= {"valid": 118}
        metrics["stoi"] = {"mean": None, "standard_error": None, "valid": 0, "total": 120}

    table = tables.quality(read(spoil))
    assert "120 test mixtures" in table.caption
    assert column(table, "PESQ-WB")["Noisy input"] == "1.23 ± 0.05 (118 clips)"
    assert column(table, "STOI")["Noisy input"].startswith(tables.NO_VALUE)


def test_what_nobody_was_scored_by_is_not_plotted() -> None:
    def without_pesq(c: Cards) -> None:
        for system in c["evaluate"]["systems"].values():
            nothing = {"mean": None, "standard_error": None, "valid": 0, "total": 120}
            system["overall"]["pesq_wb"] = nothing

    assert page.plotted_metrics(read()) == ["si_sdri_db", "pesq_wb"]
    assert page.plotted_metrics(read(without_pesq)) == ["si_sdri_db"]


def test_per_snr_columns_ascend() -> None:
    table = tables.per_snr(read(), "si_sdri_db")
    assert table.columns == ("System", "-6 dB", "-3 dB", "0 dB", "3 dB", "6 dB", "9 dB")
    assert column(table, "-6 dB")["Dense, float32"] == "10.20"


def test_markdown_is_rectangular_whatever_the_labels() -> None:
    results = read(lambda c: c["evaluate"]["systems"]["noisy"].update(label="a|b"))
    table = tables.overview(results)
    lines = [line for line in table.markdown().splitlines() if line.startswith("|")]
    assert len(lines) == 2 + len(table.rows)
    assert {len(re.split(r"(?<!\\)\|", line)) for line in lines} == {2 + len(table.columns)}


def test_charts_take_every_colour_from_the_page() -> None:
    results = read()
    drawn = [
        *charts.training_curves(results),
        *charts.cycles_by_layer(results),
        charts.quality_by_snr(results, "pesq_wb"),
    ]
    for chart in drawn:
        assert "var(--ink)" in chart.svg
        assert not re.search(r"(?:fill|stroke): ?#", chart.svg)


def test_weights_that_were_taken_as_they_are_have_no_curve() -> None:
    results = read(lambda c: c["train"].update(history=[], step_ms=0.0))
    captions = [chart.caption for chart in charts.training_curves(results)]
    assert captions
    assert all(caption.startswith("Compressed networks") for caption in captions)


def test_cycle_chart_accounts_for_every_cycle() -> None:
    (chart, *_) = charts.cycles_by_layer(read())
    compiled = all_results()["compile"]["plain"]
    total = compiled["Shared_Sram"]["total_cycles"]
    assert f"{total:,} in Shared_Sram" in chart.caption
    texts = re.findall(r">([^<>]+)</text>", chart.svg)
    assert "lstm1_gate_input" in texts
    assert "fused" not in texts and "h1_next" not in texts
    small = sum(x["cycles"] for x in compiled["Shared_Sram"]["layers"] if x["cycles"] < 1000)
    assert texts.count(f"{small:,}") == 2


def test_labels_cannot_break_out_of_a_chart() -> None:
    hostile = '"><script>'
    results = read(lambda c: c["evaluate"]["systems"]["noisy"].update(label=hostile))
    assert "<script" not in charts.quality_by_snr(results, "si_sdr_db").svg


@pytest.mark.parametrize(
    ("count", "words"),
    [(999, "999 bytes"), (87_400, "87.4 kB"), (834_044, "834 kB"), (3_875_840, "3.88 MB")],
)
def test_readable_bytes(count: int, words: str) -> None:
    assert story.readable_bytes(count) == words.replace(" ", "\N{NO-BREAK SPACE}")


def test_latency_comes_from_the_source_closest_to_the_device() -> None:
    fvp = {
        "source": "fvp",
        "memory_mode": "Shared_Sram",
        "npu_cycles": 1,
        "total_cycles": 2,
        "latency_us": 400.0,
    }
    results = read(lambda c: c["estimate"]["plain"].append(fvp))
    by_name = {
        s.name: s
        for s in story.summaries(results, dict.fromkeys(results.compress, 0.2), 3_875_840, 16_000.0)
    }
    assert by_name["plain"].latency == "400 µs a hop, 2.5% of real time (fvp)"
    assert by_name["weight80"].latency.endswith("(vela)")


def test_rounded_away_change_has_no_sign() -> None:
    def equal(c: Cards) -> None:
        systems = c["evaluate"]["systems"]
        systems["plain"]["overall"] = copy.deepcopy(systems["dense_float"]["overall"])
        systems["plain"]["overall"]["stoi"]["mean"] -= 1e-5

    results = read(equal)
    left = dict.fromkeys(results.compress, 0.2)
    summary = story.summaries(results, left, 3_875_840, 16_000.0)[0]
    assert summary.removed == "80%"
    assert summary.quality == "0.00 dB SI-SDR, 0.00 PESQ, 0.000 STOI"


@pytest.mark.parametrize(
    ("change", "holds"),
    [
        (lambda c: None, [True, True, True]),
        (lambda c: c.update(weights_equal_training=False), [False, True, True]),
        (lambda c: c["keras_vs_tflite"].update(si_sdr_tflite_db=8.5), [True, False, True]),
        (lambda c: c["tflite_vs_tflm"].update(worst_lsb=3), [True, True, False]),
    ],
)
def test_broken_proof_is_called_broken(change: Callable[[Any], object], holds: list[bool]) -> None:
    results = read(lambda c: change(c["convert"]["plain"]))
    assert [p.holds for p in story.proofs(results.convert["plain"], "plain")] == holds


def test_dnsmos_has_a_column_where_every_system_was_scored_by_it() -> None:
    def scored(cards: Cards) -> None:
        for system in cards["evaluate"]["systems"].values():
            opinion = {"mean": 3.14159, "standard_error": 0.01, "valid": 9, "total": 9}
            system["overall"]["dnsmos_overall"] = opinion

    assert "DNSMOS" not in tables.overview(read()).columns
    assert set(column(tables.overview(read(scored)), "DNSMOS").values()) == {"3.14"}
    assert set(column(tables.quality(read(scored)), "DNSMOS").values()) == {"3.14 ± 0.01"}


def test_what_ran_on_a_board_names_it_and_its_memory_mode() -> None:
    assert tables.on_target(read()) == ()
    row = {
        **{"run": "virtual", "model": "plain", "mixture": "m", "engine": "npu"},
        **{"package_bytes": 2000, "arena_bytes": 300, "npu_cycles": 1000.0, "cpu_ticks": 1024.0},
        **{"noisy_si_sdr_db": 1.0, "board_si_sdr_db": 4.0, "host_si_sdr_db": 5.0},
        **{"mask_values": 128, "mask_mismatches": 0, "feature_steps": 1, "sample_steps": 0},
    }
    image = {"flash_bytes": 30_000, "ram_bytes": 4_000}
    ran = {"board": "virtual", "image": image, "rows": {"Sram_Only": [row]}}
    cost, quality = tables.on_target(read(lambda c: c["on_target"].update(plain=ran)))
    assert cost.caption == "Firmware on the virtual board, weights in SRAM"
    assert column(cost, "CPU instructions (virtual)") == {"plain": "1,000"}
    assert column(quality, "Mask values that differ") == {"plain": "0 of 128"}
    with pytest.raises(ResultsError, match=r"of on_target: plain\.board"):
        read(lambda c: c["on_target"].update(plain={"board": "moon"}))
