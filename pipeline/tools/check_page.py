"""The page of `pipeline.check`: tables and a timeline in one HTML file that fetches nothing."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2

from pipeline.ethosu.trace import chrome_trace
from pipeline.ethosu.weight_statistics import WeightTensor

if TYPE_CHECKING:
    from pipeline.tools.check import Check

_LANE_HEIGHT, _BAR_HEIGHT, _LABEL_WIDTH, _WIDTH = 26, 18, 110, 1000
_LEAST_WIDTH = 0.5  # in pixels; what lasts a cycle among thousands can still be pointed at

_TEMPLATE = """{% macro svg(timeline) %}<svg width="{{ timeline.width }}" height="{{ timeline.height }}" role="img"
 aria-label="timeline">{% for lane in timeline.lanes %}<g><text x="0" y="{{ lane.top + 13 }}">{{ lane.name }}</text>
{% for bar in lane.bars %}<rect x="{{ '%.2f' | format(bar.left) }}" y="{{ lane.top }}"
 width="{{ '%.2f' | format(bar.width) }}" height="{{ timeline.bar_height }}"><title>{{ bar.label }}</title></rect>
{% endfor %}</g>{% endfor %}</svg>{% endmacro %}
<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{{ title }} on the Ethos-U55</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
:root { color-scheme: light dark; font: 15px/1.45 system-ui, sans-serif; }
body { max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: .5rem 0 1.5rem; }
th, td { padding: .15rem .7rem; border-bottom: 1px solid #8884; text-align: left; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
.bad { color: #c62828; font-weight: 600; } .good { color: #2e7d32; font-weight: 600; }
.wide { overflow-x: auto; } svg text { font-size: 12px; fill: currentColor; }
svg rect { fill: #3f7fbf; stroke: #fff8; stroke-width: .3; } svg rect:nth-of-type(even) { fill: #bf7f3f; }
</style></head><body>
<h1>{{ title }}</h1>
{% for result in results %}{% set compiled = result.compiled %}
<h2>{{ compiled.accelerator }}, {{ result.system.name }}:
<span class="{{ 'good' if result.passes else 'bad' }}">{{ 'passed' if result.passes else 'not passed' }}</span></h2>
<table><tr><th></th><th class="n">Vela</th><th class="n">emulator's model</th></tr>
<tr><td>cycles</td><td class="n">{{ compiled.total_cycles }}</td><td class="n">{{ result.emulator_cycles }}</td></tr>
<tr><td>time at {{ (compiled.clock_hz / 1e6) | round | int }} MHz</td>
<td class="n">{{ compiled.latency_us | round | int }} us</td>
<td class="n">{{ (result.emulator_cycles / compiled.clock_hz * 1e6) | round | int }} us</td></tr></table>
<table><tr><th>bytes</th><th class="n"></th></tr>
{% for name in ('weights', 'scales', 'lookup_tables', 'other', 'command_stream', 'total') %}
<tr><td>flash, {{ name.replace('_', ' ') }}</td><td class="n">{{ compiled.flash[name] }}</td></tr>{% endfor %}
<tr><td>arena</td><td class="n">{{ compiled.arena_bytes }}</td></tr>
{% for fit in result.fits if fit.available is not none %}<tr><td>{{ fit.memory }} there is</td>
<td class="n {{ 'good' if fit.holds else 'bad' }}">{{ fit.needed }} of {{ fit.available }}</td></tr>{% endfor %}
</table>
{% for name in result.removed %}<p>Cut off at a float end: {{ name }}</p>{% endfor %}
{% for name in result.lost_outputs %}<p class="bad">Lost output: {{ name }}</p>{% endfor %}
{% if compiled.cpu_operators %}<h3>On the CPU</h3><table>
<tr><th>operator</th><th>Vela's reason</th></tr>
{% for operator in compiled.cpu_operators %}<tr><td>{{ operator }}</td>
<td>{{ compiled.cpu_reasons[loop.index0] }}</td></tr>{% endfor %}</table>{% endif %}
{% for part in result.parts %}
<h3>NPU operator {{ loop.index }} of {{ result.parts | length }}</h3>
<p>{{ part.inputs | join(', ') }} &rarr; {{ part.outputs | join(', ') }}
{% if part.variables %}; keeps state in {{ part.variables | join(', ') }}{% endif %}</p>
<table><tr><th>against</th><th>inputs</th><th class="n">elements</th><th class="n">different</th>
<th class="n">by steps</th></tr>
{% for check in part.verifications %}{% for kind, tally in check.tallies.items() %}
<tr><td>{{ names[check.reference] }}</td><td>{{ kind }}</td><td class="n">{{ tally.elements }}</td>
<td class="n {{ 'bad' if tally.mismatches else 'good' }}">{{ tally.mismatches }}</td>
<td class="n">{{ tally.largest_steps }}</td></tr>{% endfor %}
{% for kind, reason in check.failures.items() %}<tr><td>{{ names[check.reference] }}</td><td>{{ kind }}</td>
<td colspan="3">{{ reason }}</td></tr>{% endfor %}{% endfor %}</table>
{% for hazard in part.hazards %}<p class="bad">{{ hazard }}</p>{% else %}<p>No hazards.</p>{% endfor %}
<h4>Layers</h4><div class="wide"><table><tr><th>layer</th><th>operation</th><th class="n">Vela</th>
<th class="n">emulator</th><th class="n">difference</th></tr>
{% for row in part.layers %}<tr><td>{{ row.estimate.name }}</td><td>{{ row.estimate.npu_operator }}</td>
<td class="n">{{ row.estimate.cycles }}</td><td class="n">{{ row.cycles }}</td>
<td class="n">{{ '%+.1f' | format(100 * row.difference) }} %</td></tr>{% endfor %}</table></div>
<h4>Timeline (emulator's model; hold the pointer over a bar)</h4>
<div class="wide">{{ svg(timelines[result.compiled.accelerator][loop.index0]) }}</div>
{% endfor %}{% endfor %}
<h2>Weights</h2><div class="wide"><table><tr><th>tensor</th><th>shape</th><th>type</th>
<th class="n">zeros</th><th class="n">distinct values</th></tr>
{% for tensor in weights %}<tr><td>{{ tensor.name }}</td><td>{{ tensor.shape | join(' x ') }}</td>
<td>{{ tensor.dtype }}</td><td class="n">{{ '%.1f' | format(100 * tensor.sparsity) }} %</td>
<td class="n">{{ tensor.distinct_values }}</td></tr>{% endfor %}</table></div>
</body></html>
"""  # noqa: E501 - lines of a page


@dataclass(frozen=True)
class _Bar:
    left: float
    width: float
    label: str


@dataclass(frozen=True)
class _Lane:
    name: str
    top: int
    bars: tuple[_Bar, ...]


@dataclass(frozen=True)
class _Timeline:
    """Bars in pixels, one lane for each unit of the NPU."""

    width: int
    height: int
    bar_height: int
    lanes: tuple[_Lane, ...]


def write_page(
    path: Path, title: str, results: Sequence[Check], weights: Sequence[WeightTensor]
) -> None:
    """Write the page; an error leaves nothing behind."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    text = environment.from_string(_TEMPLATE).render(
        title=title,
        results=results,
        weights=weights,
        names={"tflm": "TFLite Micro", "tflite": "TFLite"},
        timelines={r.compiled.accelerator: _timelines(r) for r in results},
    )
    temporary = path.with_name(path.name + ".partial")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


def _timelines(result: Check) -> list[_Timeline]:
    return [_timeline(chrome_trace(part.cost, result.system)) for part in result.parts]


def _timeline(trace: dict[str, Any]) -> _Timeline:
    bars = [event for event in trace["traceEvents"] if event["ph"] == "X"]
    end = max((float(bar["ts"]) + float(bar["dur"]) for bar in bars), default=1.0)
    scale = (_WIDTH - _LABEL_WIDTH) / end
    names = list(dict.fromkeys(str(bar["cat"]) for bar in bars))
    lanes = tuple(
        _Lane(
            name,
            _LANE_HEIGHT * place,
            tuple(
                _Bar(
                    left=_LABEL_WIDTH + float(bar["ts"]) * scale,
                    width=max(float(bar["dur"]) * scale, _LEAST_WIDTH),
                    label=f"{bar['name']}: {bar['args']['cycles']} cycles",
                )
                for bar in bars
                if bar["cat"] == name
            ),
        )
        for place, name in enumerate(names)
    )
    return _Timeline(_WIDTH, _LANE_HEIGHT * len(lanes), _BAR_HEIGHT, lanes)
