#pragma once

/* What CMSIS-DSP needs from CMSIS-Core's header of this name, for GCC on a Cortex-M with Helium.
 * The DSP-extension intrinsics come from the compiler's own arm_acle.h. */

#include <arm_acle.h>
#include <stdint.h>

#define __ASM __asm
#define __INLINE inline
#define __STATIC_INLINE static inline
#define __STATIC_FORCEINLINE static inline __attribute__((always_inline))
#define __WEAK __attribute__((weak))
#define __ALIGNED(bytes) __attribute__((aligned(bytes)))
#define __RESTRICT __restrict

__STATIC_FORCEINLINE uint8_t __CLZ(uint32_t value) {
  return (uint8_t)(value == 0 ? 32 : __builtin_clz(value));
}
