#include "platform/cortex_m/cmsdk_uart.h"

#include "platform/cortex_m/system.h"

namespace enhancer::cortex_m {
namespace {

enum Register : std::uint32_t { kData = 0x00, kState = 0x04, kControl = 0x08, kDivider = 0x10 };

constexpr std::uint32_t kBaud = 115200;
constexpr std::uint32_t kTransmitEnable = 1;
constexpr std::uint32_t kTransmitFull = 1;

}  // namespace

void cmsdk_uart::start(std::uint32_t base, std::uint32_t clock_hz) {
  reg(base + kDivider) = clock_hz / kBaud;
  reg(base + kControl) = kTransmitEnable;
}

void cmsdk_uart::write(std::uint32_t base, Span<const char> text) {
  for (const char character : text) {
    while ((reg(base + kState) & kTransmitFull) != 0) {
    }
    reg(base + kData) = static_cast<std::uint8_t>(character);
  }
}

}  // namespace enhancer::cortex_m
