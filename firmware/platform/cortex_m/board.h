#pragma once

/// What startup.cpp asks of a board beyond platform.h and services.h.
namespace enhancer::cortex_m {

/// Let nothing be both written and executed.
void protect_memory();

/// Start console and interrupts other than the system tick.
void start_board();

/// Any interrupt that start_board() enabled.
void handle_interrupt();

}  // namespace enhancer::cortex_m
