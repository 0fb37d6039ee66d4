#include "npu_device.h"

#include <stdlib.h>
#include <string.h>

enum {
  REG_ID = 0x000,
  REG_STATUS = 0x004,
  REG_CMD = 0x008,
  REG_RESET = 0x00C,
  REG_PROT = 0x024,
  REG_CONFIG = 0x028,
  REG_PMCR = 0x180,
  REG_PMCNTENSET = 0x184,
  REG_PMCNTENCLR = 0x188,
  REG_PMCCNTR_LO = 0x1A0,
  REG_PMCCNTR_HI = 0x1A4,
  REG_PMEVCNTR0 = 0x300,
};

enum {
  STATUS_RUNNING = 1u << 0,
  STATUS_IRQ_RAISED = 1u << 1,
  STATUS_BUS_FAULT = 1u << 2,
  CMD_RUN = 1u << 0,
  CMD_CLEAR_IRQ = 1u << 1,
  CMD_GATING = 3u << 2, /* clock and power, enabled after a reset */
  PMCR_ENABLE = 1u << 0,
  PMCR_RESET_EVENTS = 1u << 1,
  PMCR_RESET_CYCLES = 1u << 2,
  PROT_MASK = 3,
};

/* Architecture 1.1.0, the last release of the Ethos-U55. */
#define ID_VALUE 0x10104004u
#define EVENT_COUNTERS 4u

static uint32_t* reg(struct npu_device* npu, uint32_t offset) {
  return &npu->registers[offset / sizeof(uint32_t)];
}

static bool config_value(unsigned macs, uint32_t* value) {
  static const struct {
    uint32_t macs, log2_macs, shram_kib;
  } variants[] = {{32, 5, 16}, {64, 6, 16}, {128, 7, 24}, {256, 8, 48}};
  for (size_t i = 0; i < sizeof variants / sizeof variants[0]; ++i) {
    if (variants[i].macs == macs) {
      *value = variants[i].shram_kib << 8 | variants[i].log2_macs;
      return true;
    }
  }
  return false;
}

static void reset(struct npu_device* npu, uint32_t protection) {
  const uint32_t config = *reg(npu, REG_CONFIG);
  memset(npu->registers, 0, sizeof npu->registers);
  *reg(npu, REG_ID) = ID_VALUE;
  *reg(npu, REG_CONFIG) = config;
  *reg(npu, REG_PROT) = protection & PROT_MASK;
  *reg(npu, REG_PMCR) = EVENT_COUNTERS << 11;
  *reg(npu, REG_CMD) = CMD_GATING;
  npu->completion_status = 0;
  npu->machine.set_interrupt(npu->machine.context, false);
}

bool npu_device_init(struct npu_device* npu, const struct npu_machine* machine,
                     struct job_channel* jobs, unsigned macs) {
  memset(npu, 0, sizeof *npu);
  npu->machine = *machine;
  npu->jobs = jobs;
  if (!config_value(macs, reg(npu, REG_CONFIG))) {
    return false;
  }
  reset(npu, 0);
  return true;
}

uint32_t npu_device_read(const struct npu_device* npu, uint32_t offset) {
  return offset < NPU_DEVICE_BYTES ? npu->registers[offset / sizeof(uint32_t)] : 0;
}

/* Answer the model's requests until it says that the job is done. */
static bool serve_job(struct npu_device* npu, struct job_message* done) {
  if (!job_channel_send(npu->jobs, JOB_RUN, 0, npu->registers, sizeof npu->registers)) {
    return false;
  }
  struct job_message message;
  while (job_channel_receive(npu->jobs, &message)) {
    switch (message.kind) {
      case JOB_READ: {
        void* data = calloc(1, message.bytes + 1u);
        const bool ok =
            data != NULL &&
            npu->machine.read_memory(npu->machine.context, message.value, data, message.bytes);
        const bool sent =
            data != NULL && job_channel_send(npu->jobs, JOB_REPLY, ok, data, message.bytes);
        free(data);
        if (!sent) {
          return false;
        }
        break;
      }
      case JOB_WRITE: {
        void* data = malloc(message.bytes + 1u);
        bool ok = data != NULL && job_channel_receive_payload(npu->jobs, data, message.bytes);
        if (!ok) {
          free(data);
          return false;
        }
        ok = npu->machine.write_memory(npu->machine.context, message.value, data, message.bytes);
        free(data);
        if (!job_channel_send(npu->jobs, JOB_REPLY, ok, NULL, 0)) {
          return false;
        }
        break;
      }
      case JOB_SET_REGISTER: {
        const uint32_t offset = (uint32_t)(message.value >> 32);
        if (offset < NPU_DEVICE_BYTES) {
          *reg(npu, offset) = (uint32_t)message.value;
        }
        break;
      }
      case JOB_DONE:
        *done = message;
        return true;
      default:
        return false;
    }
  }
  return false;
}

static void run_job(struct npu_device* npu) {
  *reg(npu, REG_STATUS) = STATUS_RUNNING;
  struct job_message done;
  if (!serve_job(npu, &done)) {
    /* Without its model the NPU cannot work: seen by software as a bus that does not answer. */
    job_channel_close(npu->jobs);
    npu->completion_status = STATUS_BUS_FAULT;
    npu_device_complete(npu);
    return;
  }
  npu->completion_status = done.bytes;
  if (done.value != JOB_NEVER_COMPLETES) {
    npu->machine.complete_after(npu->machine.context, done.value);
  }
}

void npu_device_complete(struct npu_device* npu) {
  if ((*reg(npu, REG_STATUS) & STATUS_RUNNING) == 0) {
    return; /* The NPU was reset while the job ran. */
  }
  *reg(npu, REG_STATUS) = npu->completion_status | STATUS_IRQ_RAISED;
  npu->machine.set_interrupt(npu->machine.context, true);
}

static void write_command(struct npu_device* npu, uint32_t value) {
  *reg(npu, REG_CMD) = value & ~(uint32_t)(CMD_RUN | CMD_CLEAR_IRQ);
  if ((value & CMD_CLEAR_IRQ) != 0) {
    *reg(npu, REG_STATUS) &= ~(uint32_t)STATUS_IRQ_RAISED;
    npu->machine.set_interrupt(npu->machine.context, false);
  }
  if ((value & CMD_RUN) != 0) {
    run_job(npu);
  }
}

static void write_pmu_control(struct npu_device* npu, uint32_t value) {
  *reg(npu, REG_PMCR) = (value & PMCR_ENABLE) | EVENT_COUNTERS << 11;
  if ((value & PMCR_RESET_EVENTS) != 0) {
    memset(reg(npu, REG_PMEVCNTR0), 0, EVENT_COUNTERS * sizeof(uint32_t));
  }
  if ((value & PMCR_RESET_CYCLES) != 0) {
    *reg(npu, REG_PMCCNTR_LO) = 0;
    *reg(npu, REG_PMCCNTR_HI) = 0;
  }
}

void npu_device_write(struct npu_device* npu, uint32_t offset, uint32_t value) {
  switch (offset) {
    case REG_ID:
    case REG_STATUS:
    case REG_PROT:
    case REG_CONFIG:
      break; /* read-only */
    case REG_RESET:
      reset(npu, value);
      break;
    case REG_CMD:
      write_command(npu, value);
      break;
    case REG_PMCR:
      write_pmu_control(npu, value);
      break;
    case REG_PMCNTENSET:
      *reg(npu, REG_PMCNTENSET) |= value;
      break;
    case REG_PMCNTENCLR:
      *reg(npu, REG_PMCNTENSET) &= ~value;
      break;
    default:
      if (offset < NPU_DEVICE_BYTES) {
        *reg(npu, offset) = value;
      }
  }
}
