#pragma once

/* Speech enhancement hop by hop, as a library: libenhancer.a. No heap, no files, no console; all
 * memory is the caller's. docs/firmware.md tells how to put it into a firmware of your own.
 *
 *   static struct enhancer_instance enhancer;
 *   size_t arena_bytes;
 *   enhancer_arena_bytes(package, package_bytes, &arena_bytes);
 *   enhancer_init(&enhancer, package, package_bytes, arena, arena_bytes);
 *   for (;;) enhancer_process(&enhancer, in, out);
 */

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ENHANCER_RATE_HZ 16000
/* 16 ms. What comes out is one hop later than what went in, two with ENHANCER_PIPELINED. */
#define ENHANCER_HOP_SAMPLES 256
#define ENHANCER_ALIGNMENT 16

/* Working memory of the CPU, best in the fastest RAM; the content is the library's. */
struct enhancer_instance {
  uint64_t opaque[3840];
};

/* 0, or a code of docs/firmware-reference.md. */
typedef int enhancer_status;

/* Name of a status, for example "npu_timeout". */
const char* enhancer_status_name(enhancer_status status);

/* Check a model package, which may lie in flash, on ENHANCER_ALIGNMENT, and say how
 * large an arena it needs; 0 where only trying tells, as with TensorFlow Lite Micro: what
 * enhancer_init() has taken once, it takes always. */
enhancer_status enhancer_arena_bytes(const void* package, size_t package_bytes,
                                     size_t* arena_bytes);

/* Prepare to enhance. `package` and `arena` must stay where they are. The arena is aligned to
 * ENHANCER_ALIGNMENT and reachable for the NPU, of which there is one, hence one enhancer at a
 * time. */
enhancer_status enhancer_init(struct enhancer_instance* enhancer, const void* package,
                              size_t package_bytes, void* arena, size_t arena_bytes);

/* Enhance one hop; `in` and `out` may be the same. A fault of the NPU is met with a reset and, if
 * there is time, one more attempt. The hop of an error comes out as it went in, as late as all
 * others: go on with the next one, or stop. Where enhancer_init() has failed, `out` is `in`. */
enhancer_status enhancer_process(struct enhancer_instance* enhancer,
                                 const int16_t in[ENHANCER_HOP_SAMPLES],
                                 int16_t out[ENHANCER_HOP_SAMPLES]);

/* Forget all audio and counts, as between two calls. */
void enhancer_reset(struct enhancer_instance* enhancer);

enum enhancer_schedule {
  /* enhancer_process() waits for the NPU. This is how it begins. */
  ENHANCER_AT_ONCE,
  /* enhancer_process() starts the NPU, does the rest of the hop before meanwhile and returns; what
   * comes out is 16 ms older. The CPU never waits unless the NPU takes longer than a hop. */
  ENHANCER_PIPELINED
};

/* Choose when a hop comes out; forgets all audio and counts. */
void enhancer_set_schedule(struct enhancer_instance* enhancer, enum enhancer_schedule schedule);

/* How long after a call of enhancer_process() the NPU must be done; it is given up then and the hop
 * is late (npu_timeout). A second, unless this is called after enhancer_init(). */
void enhancer_set_deadline(struct enhancer_instance* enhancer, uint32_t microseconds);

/* What became of hops. Those passed through came out as they went in. */
struct enhancer_counts {
  uint32_t hops;
  uint32_t retried; /* run again after a fault */
  uint32_t failed;  /* passed through after a fault */
  uint32_t late; /* not done by the deadline: passed through, unless the network runs on the CPU */
};

void enhancer_get_counts(const struct enhancer_instance* enhancer, struct enhancer_counts* counts);

#ifdef __cplusplus
}
#endif
