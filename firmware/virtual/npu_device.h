#pragma once

/* The register block of an Ethos-U55, as software sees it. The work of a job is done by a model in
 * another process (job_channel.h); this file keeps registers, interrupt and completion. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "job_channel.h"

#ifdef __cplusplus
extern "C" {
#endif

#define NPU_DEVICE_BYTES 0x1000u

/* What the machine around the NPU offers. Memory functions return false on a bus error. */
struct npu_machine {
  void* context;
  bool (*read_memory)(void* context, uint64_t address, void* data, size_t bytes);
  bool (*write_memory)(void* context, uint64_t address, const void* data, size_t bytes);
  void (*set_interrupt)(void* context, bool raised);
  /* Call npu_device_complete() after `delay_ns` of the machine's time. */
  void (*complete_after)(void* context, uint64_t delay_ns);
};

struct npu_device {
  struct npu_machine machine;
  struct job_channel* jobs;
  uint32_t registers[NPU_DEVICE_BYTES / sizeof(uint32_t)];
  uint32_t completion_status;
};

/* `macs` per cycle: 32, 64, 128 or 256. Returns false for any other number. */
bool npu_device_init(struct npu_device* npu, const struct npu_machine* machine,
                     struct job_channel* jobs, unsigned macs);

uint32_t npu_device_read(const struct npu_device* npu, uint32_t offset);
void npu_device_write(struct npu_device* npu, uint32_t offset, uint32_t value);

/* The running job ends now: publish its status and raise the interrupt. */
void npu_device_complete(struct npu_device* npu);

#ifdef __cplusplus
}
#endif
