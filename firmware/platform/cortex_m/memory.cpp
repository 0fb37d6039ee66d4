#include "platform/cortex_m/memory.h"

#include "platform/services.h"

extern "C" {
extern std::uint32_t linker_stack_limit;
extern std::uint32_t linker_stack_top;
extern std::uint8_t linker_arena_start;
extern std::uint8_t linker_arena_end;
extern const std::uint8_t linker_model_start;
extern const std::uint8_t linker_model_end;
}

/// Memories as the linker script lays them out (sections.ld).
namespace enhancer {
namespace {

constexpr std::uint32_t kStackPattern = 0xC5C5C5C5;

std::uint32_t* stack_pointer() {
  std::uint32_t* pointer = nullptr;
  asm volatile("mrs %0, msp" : "=r"(pointer));
  return pointer;
}

}  // namespace

void cortex_m::paint_stack() {
  for (volatile std::uint32_t* word = &linker_stack_limit; word < stack_pointer(); ++word) {
    *word = kStackPattern;
  }
}

namespace platform {

std::size_t stack_used_bytes() {
  const std::uint32_t* word = &linker_stack_limit;
  while (word < &linker_stack_top && *word == kStackPattern) {
    ++word;
  }
  return static_cast<std::size_t>(&linker_stack_top - word) * sizeof *word;
}

std::size_t stack_capacity_bytes() {
  return static_cast<std::size_t>(&linker_stack_top - &linker_stack_limit) *
         sizeof linker_stack_limit;
}

Span<const std::uint8_t> model_memory() {
  return {&linker_model_start, static_cast<std::size_t>(&linker_model_end - &linker_model_start)};
}

Span<std::uint8_t> arena_memory() {
  return {&linker_arena_start, static_cast<std::size_t>(&linker_arena_end - &linker_arena_start)};
}

}  // namespace platform
}  // namespace enhancer
