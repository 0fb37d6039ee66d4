#pragma once

/* Real time: DMA moves audio in and out, block by block, while the CPU enhances the block before.
 */

#include <stdint.h>

#include "api/enhancer.h"

#ifdef __cplusplus
extern "C" {
#endif

struct microphone_loop {
  struct enhancer_instance enhancer;
  /* The DMA works on one buffer of each pair, the CPU on the other. */
  int16_t microphone[2][ENHANCER_HOP_SAMPLES];
  int16_t speaker[2][ENHANCER_HOP_SAMPLES];
  volatile uint32_t recorded_hops; /* written by the interrupt */
  volatile uint32_t enhanced_hops; /* written by the main loop; late ones count */
  volatile uint32_t late_hops;     /* passed through by the interrupt, their time being over; those
                                    * that the library passed through: enhancer_get_counts() */
};

enhancer_status microphone_loop_init(struct microphone_loop* loop, const void* package,
                                     size_t package_bytes, void* arena, size_t arena_bytes);

/* Call from the interrupt with which the DMA ends a hop. It returns the pair of buffers that the
 * DMA goes on with: 0 or 1. */
uint32_t microphone_loop_interrupt(struct microphone_loop* loop);

/* Call from the main loop whenever an interrupt may have come; sleep (WFI) in between. */
void microphone_loop_poll(struct microphone_loop* loop);

#ifdef __cplusplus
}
#endif
