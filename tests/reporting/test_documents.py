"""The documents' numbers are those of the cards and points they come from; links lead somewhere."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

DOCUMENTS = [Path("README.md"), Path("docs/results.md"), Path("docs/networks/README.md")]
MODELS = Path("tflite_models")
POINTS = {path.stem: path for path in Path("docs").glob("*/points/*.json")}
COLUMNS = {
    "SI-SDR, dB": ("si_sdr_db", 2),
    "SDR, dB": ("sdr_db", 2),
    "PESQ-WB": ("pesq_wb", 2),
    "STOI": ("stoi", 3),
}


def tables(document: Path) -> list[tuple[str, dict[str, str]]]:
    """Every row of the tables of systems: its name, and its cells by heading."""
    found, heads = [], None
    for line in document.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not line.startswith("|"):
            heads = None
        elif cells[0] == "System":
            heads = cells
        elif heads and not cells[0].startswith("---"):
            found.append((cells[0], dict(zip(heads, cells, strict=True))))
    return found


def load(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_tables_of_models_say_what_points_and_cards_say(document: Path) -> None:
    checked = 0
    for name, cells in tables(document):
        if not (MODELS / f"{name}.card.json").exists():
            continue
        quality = load(POINTS[name])["quality"]
        compiled = load(MODELS / f"{name}.card.json")["compile"]["Shared_Sram"]
        expected = {
            heading: f"{quality[metric]['mean']:.{digits}f}"
            for heading, (metric, digits) in COLUMNS.items()
        } | {
            "Flash, bytes": f"{compiled['flash']['total']:,}",
            "Arena, bytes": f"{compiled['arena_bytes']:,}",
            "NPU cycles (vela)": f"{compiled['npu_cycles']:,}",
            "Total cycles (vela)": f"{compiled['total_cycles']:,}",
        }
        for heading, value in expected.items():
            if heading in cells:
                assert cells[heading] == value, f"{document}: {name}, {heading}"
                checked += 1
    assert checked >= 12


def test_links_between_documents_lead_somewhere() -> None:
    folders = (Path("docs"), MODELS, Path("firmware"))
    documents = [*Path().glob("*.md"), *(path for f in folders for path in f.rglob("*.md"))]
    link = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")
    broken = [
        f"{document}: {target}"
        for document in documents
        for target in link.findall(document.read_text(encoding="utf-8"))
        if not (document.parent / target).exists()
    ]
    assert broken == []


def test_the_files_that_the_architecture_names_exist() -> None:
    text = Path("docs/architecture.md").read_text(encoding="utf-8")
    named = [name for name in re.findall(r"`([^`\s]*/[^`\s]*)`", text) if "<" not in name]
    files = [name for name in named if name.startswith(("pipeline/", "tests/", "firmware/"))]
    assert len(files) > 30
    assert [name for name in files if not Path(name).exists()] == []
