#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace enhancer::fake {

/// The platform of the unit tests. Every test starts from reset().
struct Platform {
  std::string console;
  std::vector<std::uint8_t> model;
  std::size_t npu_sram_bytes = 1 << 16;
  std::map<std::string, std::string> files;
  std::size_t disk_bytes = 1 << 20;  ///< Writing beyond this fails.

  /// NPU registers; `on_run` plays the job when CMD is written and says whether it interrupts.
  std::map<std::uint32_t, std::uint32_t> npu_registers;
  std::function<bool()> on_run = [] { return false; };
  bool npu_resets = true;

  struct CacheOperation {
    std::string name;
    const void* data;
    std::size_t bytes;
  };
  std::vector<CacheOperation> cache_log;
};

Platform& platform();
/// Start over, with the NPU that package_builder.h compiles for.
void reset();

/// As a job does that ends after nobody waits for it any more.
void raise_npu_interrupt();

/// 64-bit pointer register.
void* npu_pointer(std::uint32_t offset);

}  // namespace enhancer::fake
