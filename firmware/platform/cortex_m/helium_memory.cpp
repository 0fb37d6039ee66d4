#include <cstddef>

/// Block copies with Helium, 16 bytes at a time, in place of newlib-nano's.
#if __ARM_FEATURE_MVE
extern "C" {

[[gnu::naked, gnu::used]] void* memcpy(void* /*to*/, const void* /*from*/, std::size_t /*bytes*/) {
  asm volatile(
      "push {r0, lr}            \n"
      "wlstp.8 lr, r2, 2f       \n"
      "1: vldrb.8 q0, [r1], #16 \n"
      "vstrb.8 q0, [r0], #16    \n"
      "letp lr, 1b              \n"
      "2: pop {r0, pc}          \n");
}

[[gnu::naked, gnu::used]] void* memset(void* /*to*/, int /*value*/, std::size_t /*bytes*/) {
  asm volatile(
      "push {r0, lr}            \n"
      "vdup.8 q0, r1            \n"
      "wlstp.8 lr, r2, 2f       \n"
      "1: vstrb.8 q0, [r0], #16 \n"
      "letp lr, 1b              \n"
      "2: pop {r0, pc}          \n");
}
}
#endif
