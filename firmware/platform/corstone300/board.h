#pragma once

namespace enhancer::corstone300 {

/// Fill the unused stack with a pattern by which its deepest use is found later.
void paint_stack();

/// Let nothing be both written and executed.
void protect_memory();

/// Start UART, system tick and interrupts.
void start_board();

}  // namespace enhancer::corstone300

extern "C" {
void SysTick_Handler();
void Npu_Handler();
}
