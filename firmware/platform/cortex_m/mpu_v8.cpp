#include "platform/cortex_m/mpu_v8.h"

#include "platform/cortex_m/system.h"

namespace enhancer {

void cortex_m::protect(Span<const Region> regions) {
  constexpr std::uint32_t kNotCacheable = 0x44;
  constexpr std::uint32_t kStronglyOrdered = 0x00;
  constexpr std::uint32_t kRegionEnable = 1;
  reg(kMpuAttributes0) = kNotCacheable | kStronglyOrdered << 8;
  std::uint32_t index = 0;
  for (const Region& region : regions) {
    reg(kMpuRegion) = index++;
    reg(kMpuBase) = region.first | region.access;
    reg(kMpuLimit) = (region.last & ~0x1FU) | region.kind << 1 | kRegionEnable;
  }
  enable_mpu();
}

}  // namespace enhancer
