#include "examples/microphone_loop.h"

#include <string.h>

/* Of the 16 ms of a hop; the CPU needs the rest. */
#define NPU_DEADLINE_US 12000

enhancer_status microphone_loop_init(struct microphone_loop* loop, const void* package,
                                     size_t package_bytes, void* arena, size_t arena_bytes) {
  memset(loop, 0, sizeof *loop);
  const enhancer_status status =
      enhancer_init(&loop->enhancer, package, package_bytes, arena, arena_bytes);
  enhancer_set_deadline(&loop->enhancer, NPU_DEADLINE_US);
  return status;
}

uint32_t microphone_loop_interrupt(struct microphone_loop* loop) {
  loop->recorded_hops = loop->recorded_hops + 1;
  /* The DMA goes on with this pair: it plays the hop before the last one, and records over it. */
  const uint32_t pair = loop->recorded_hops & 1u;
  if (loop->recorded_hops - loop->enhanced_hops > 1) {
    memcpy(loop->speaker[pair], loop->microphone[pair], sizeof loop->speaker[pair]);
    loop->late_hops = loop->late_hops + 1;
  }
  return pair;
}

void microphone_loop_poll(struct microphone_loop* loop) {
  const uint32_t recorded = loop->recorded_hops;
  if (recorded == loop->enhanced_hops) {
    return;
  }
  const uint32_t hop = recorded - 1; /* Any before it were late and have been passed through. */
  const uint32_t pair = hop & 1u;
  int16_t enhanced[ENHANCER_HOP_SAMPLES];
  /* After an error `enhanced` is what had been recorded, and the library has counted it. */
  (void)enhancer_process(&loop->enhancer, loop->microphone[pair], enhanced);
  if (loop->recorded_hops == recorded) {
    memcpy(loop->speaker[pair], enhanced, sizeof enhanced);
  }
  loop->enhanced_hops = recorded;
}
