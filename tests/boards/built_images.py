"""What the firmware build made: images and library, looked at without running them or barely so.

As `on_virtual_board.py`, collected only by name: `make firmware-test`.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from on_virtual_board import BUILD, FIRMWARE, PLUGIN

from pipeline.boards.firmware_image import image_size
from pipeline.boards.qemu import semihosting
from pipeline.boards.virtual import qemu_command

ALIF_FIRMWARE = BUILD / "alif-e7" / "platform" / "alif_e7" / "enhancer.elf"
CLOCK = {"ticks()", "ticks_per_second()"}
NPU = {
    "npu_read(unsigned long)",
    "npu_write(unsigned long, unsigned long)",
    "npu_wait_for_interrupt(unsigned long long)",
    "cache_clean(void const*, unsigned int)",
    "cache_invalidate(void*, unsigned int)",
}


def output_of(*command: str | Path) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def addresses(image: Path) -> dict[str, int]:
    lines = map(str.split, output_of("arm-none-eabi-nm", image).splitlines())
    return {words[2]: int(words[0], 16) for words in lines if len(words) == 3}


def test_the_image_has_no_heap() -> None:
    names = addresses(FIRMWARE).keys()
    assert {"Reset_Handler", "__stack_chk_fail"} <= names
    assert names.isdisjoint({"malloc", "_malloc_r", "_sbrk", "_Znwj", "__cxa_throw"})


def test_the_size_of_the_image_is_what_the_toolchain_says() -> None:
    lines = map(str.split, output_of("arm-none-eabi-size", "-A", FIRMWARE).splitlines())
    sizes = {words[0]: int(words[1]) for words in lines
             if len(words) == 3 and words[0].startswith(".")}  # fmt: skip
    in_flash = (".vectors", ".text", ".ARM.exidx", ".init_array", ".data")
    size = image_size(FIRMWARE)
    assert size.flash_bytes == sum(sizes.get(name, 0) for name in in_flash)
    assert size.ram_bytes == sum(sizes[name] for name in (".data", ".bss", ".heap", ".stacks"))


@pytest.mark.parametrize("board", ["corstone300", "alif-e7"])  # Never with TensorFlow Lite Micro.
def test_the_library_asks_a_board_for_nothing_but_its_platform(board: str) -> None:
    library = BUILD / board / "libenhancer.a"
    listing = output_of("arm-none-eabi-nm", "--demangle", "--format=posix", library).splitlines()
    pattern = re.compile(r"(.+?) ([A-Za-z])[0-9a-f ]*$")
    symbols = [found for line in listing if (found := pattern.match(line))]
    defined = {found[1] for found in symbols if found[2] != "U"}
    wanted = {found[1] for found in symbols if found[2] == "U"} - defined
    prefix = "enhancer::platform::"
    assert {name.removeprefix(prefix) for name in wanted if name.startswith(prefix)} == CLOCK | NPU
    # CMSIS-DSP, the compiler's helpers, copies and mathematics: no heap, files or console.
    others = {name for name in wanted if not name.startswith((prefix, "arm_", "__"))}
    assert others <= {
        "memcpy",
        "memmove",
        "memset",
        "memcmp",
        "sin",
        "sqrtf",
        "floorf",
        "nearbyintf",
    }


def instructions_of(function: str) -> list[str]:
    """Mnemonics of a function of the image."""
    listing = output_of("arm-none-eabi-objdump", "-d", "--demangle", "-M", "force-thumb", FIRMWARE)
    (text,) = re.findall(rf"^\w+ <.*{re.escape(function)}>:\n((?:.+\n)+)", listing, re.MULTILINE)
    return [line.split("\t")[2] for line in text.splitlines() if line.count("\t") >= 2]


def test_barriers_stand_around_the_npu_and_before_sleep() -> None:
    write = instructions_of("platform::npu_write(unsigned long, unsigned long)")
    assert write.index("dsb") < next(n for n, name in enumerate(write) if name.startswith("str"))
    # Of the interrupt: the NPU has lowered its line before the handler ends.
    clear = instructions_of("clear_npu_interrupt()")
    stores = [n for n, name in enumerate(clear) if name.startswith("str")]
    assert "dsb" in clear[stores[0] : stores[-1]]
    wait = instructions_of("platform::npu_wait_for_interrupt(unsigned long long)")
    assert wait[wait.index("wfi") - 1] == "dsb"


def test_the_console_has_the_divisor_of_a_real_board(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    command = qemu_command(PLUGIN, 128, FIRMWARE)
    plugin = command.index("-plugin")
    del command[plugin : plugin + 2]
    command += ["-trace", "cmsdk_apb_uart_write", "-D", str(trace), *semihosting("benchmark")]
    subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    written = re.findall(r"offset 0x10 data (0x\w+)", trace.read_text())
    peripheral_clock_hz, baud = 25_000_000, 115_200
    assert [int(value, 16) for value in written] == [peripheral_clock_hz // baud]


def test_the_microcontroller_to_buy_has_everything_in_its_memories() -> None:
    """As the vendor's device pack lists them for the high-performance core."""
    memories = {
        "vectors": (0x8000_0000, 0x0058_0000),
        "linker_data_load": (0x8000_0000, 0x0058_0000),
        "linker_model_start": (0x8000_0000, 0x0058_0000),
        "linker_model_end": (0x8000_0000, 0x0058_0000),
        "linker_data_start": (0x2000_0000, 0x0010_0000),
        "linker_bss_end": (0x2000_0000, 0x0010_0000),
        "linker_stack_top": (0x2000_0000, 0x0010_0000),
        "linker_arena_start": (0x0200_0000, 0x0040_0000),
        "linker_arena_end": (0x0200_0000, 0x0040_0000),
    }
    found = addresses(ALIF_FIRMWARE)
    for name, (origin, size) in memories.items():
        assert origin <= found[name] <= origin + size, name
    attributes = output_of("arm-none-eabi-readelf", "-A", ALIF_FIRMWARE)
    assert "Tag_MVE_arch: MVE Integer and FP" in attributes
