/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A QEMU plugin that puts an Ethos-U55 on the mps3-an547 board (Corstone-300), at its true address
 * and interrupt:
 *
 *   qemu-system-arm -M mps3-an547 -plugin libnpu.so,socket=PATH,macs=128 ...
 *
 * PATH is a UNIX socket on which a model of the NPU listens (pipeline/boards/npu_server.py). */

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "job_channel.h"
#include "npu_device.h"
#include "qemu_abi.h"

#define EXPORT __attribute__((visibility("default")))

/* The QEMU release this plugin is built for, checked against the one that loads it. */
#if QEMU_MAJOR == 7
#define PLUGIN_API 1
enum { SECURE_ACCESS = 1u << 1 };
#elif QEMU_MAJOR == 10
#define PLUGIN_API 4
enum { SECURE_ACCESS = 1u << 0 };
#else
#error "QEMU_MAJOR must be a supported release: 7 (Debian 12) or 10 (Debian 13)"
#endif

EXPORT int qemu_plugin_version = PLUGIN_API;

enum {
  NPU_BASE = 0x48102000,
  NPU_EXPANSION_IRQ = 24, /* NVIC interrupt 56 */
  PRIORITY_OVER_STUB = 0, /* the board's placeholder has a negative priority */
  ADDRESS_SPACE_SECURE = 1,
};

static struct {
  struct npu_device npu;
  struct job_channel jobs;
  void* irq;
  qemu_memory_region region;
  qemu_timer timer;
  Notifier machine_ready;
} board;

static bool transfer(uint64_t address, void* data, size_t bytes, bool is_write) {
  void* space = cpu_get_address_space(qemu_get_cpu(0), ADDRESS_SPACE_SECURE);
  return address_space_rw(space, address, SECURE_ACCESS, data, bytes, is_write) == 0;
}

static bool read_memory(void* context, uint64_t address, void* data, size_t bytes) {
  (void)context;
  return transfer(address, data, bytes, false);
}

static bool write_memory(void* context, uint64_t address, const void* data, size_t bytes) {
  (void)context;
  return transfer(address, (void*)data, bytes, true);
}

static void set_interrupt(void* context, bool raised) {
  (void)context;
  qemu_set_irq(board.irq, raised);
}

static void complete_after(void* context, uint64_t delay_ns) {
  (void)context;
  timer_mod_ns(&board.timer, qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL) + (int64_t)delay_ns);
}

static void timer_expired(void* opaque) {
  (void)opaque;
  npu_device_complete(&board.npu);
}

static uint64_t read_register(void* opaque, hwaddr offset, unsigned bytes) {
  (void)opaque;
  (void)bytes;
  return npu_device_read(&board.npu, (uint32_t)offset);
}

static void write_register(void* opaque, hwaddr offset, uint64_t value, unsigned bytes) {
  (void)opaque;
  (void)bytes;
  npu_device_write(&board.npu, (uint32_t)offset, (uint32_t)value);
}

static const MemoryRegionOps register_ops = {
    .read = read_register,
    .write = write_register,
    .endianness = DEVICE_LITTLE_ENDIAN,
    .valid = {.min_access_size = 4, .max_access_size = 4},
    .impl = {.min_access_size = 4, .max_access_size = 4},
};

static unsigned macs;

static void machine_ready(Notifier* notifier, void* data) {
  (void)notifier;
  (void)data;
  void* soc = object_resolve_path("/machine/iotkit", NULL);
  if (soc == NULL) {
    fprintf(stderr, "npu plugin: this machine has no SSE-300 subsystem, use -M mps3-an547\n");
    exit(EXIT_FAILURE);
  }
  board.irq = qdev_get_gpio_in_named(soc, "EXP_IRQ", NPU_EXPANSION_IRQ);
  const struct npu_machine machine = {
      .read_memory = read_memory,
      .write_memory = write_memory,
      .set_interrupt = set_interrupt,
      .complete_after = complete_after,
  };
  timer_init_full(&board.timer, NULL, QEMU_CLOCK_VIRTUAL, SCALE_NS, 0, timer_expired, NULL);
  if (!npu_device_init(&board.npu, &machine, &board.jobs, macs)) {
    fprintf(stderr, "npu plugin: macs=%u: expected 32, 64, 128 or 256\n", macs);
    exit(EXIT_FAILURE);
  }
  memory_region_init_io(&board.region, NULL, &register_ops, NULL, "ethos-u55", NPU_DEVICE_BYTES);
  memory_region_add_subregion_overlap(get_system_memory(), NPU_BASE, &board.region,
                                      PRIORITY_OVER_STUB);
}

static bool is_supported_qemu(void) {
  VersionInfo* version = qmp_query_version(NULL);
  const bool supported = version->qemu->major == QEMU_MAJOR;
  if (!supported) {
    fprintf(stderr, "npu plugin: built for QEMU %d, loaded into QEMU %d.%d: rebuild it\n",
            QEMU_MAJOR, (int)version->qemu->major, (int)version->qemu->minor);
  }
  qapi_free_VersionInfo(version);
  return supported;
}

/* Value of an argument "key=value", or NULL for another key. */
static const char* value_of(const char* argument, const char* key) {
  const size_t length = strlen(key);
  return strncmp(argument, key, length) == 0 && argument[length] == '=' ? argument + length + 1
                                                                        : NULL;
}

EXPORT int qemu_plugin_install(uint64_t id, const void* info, int argc, char** argv) {
  (void)id;
  (void)info;
  if (!is_supported_qemu()) {
    return -1;
  }
  const char* socket_path = "";
  for (int i = 0; i < argc; ++i) {
    const char* value = NULL;
    if ((value = value_of(argv[i], "socket")) != NULL) {
      socket_path = value;
    } else if ((value = value_of(argv[i], "macs")) != NULL) {
      macs = (unsigned)strtoul(value, NULL, 10);
    } else {
      fprintf(stderr, "npu plugin: unknown argument '%s': expected socket= and macs=\n", argv[i]);
      return -1;
    }
  }
  /* A board whose host was killed would compute for nobody, for ever. */
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) {
    fprintf(stderr, "npu plugin: cannot follow the host's end: %s\n", strerror(errno));
    return -1;
  }
  if (!job_channel_open(&board.jobs, socket_path)) {
    fprintf(stderr, "npu plugin: no NPU model listens on '%s': %s\n", socket_path, strerror(errno));
    return -1;
  }
  board.machine_ready.notify = machine_ready;
  qemu_add_machine_init_done_notifier(&board.machine_ready);
  return 0;
}
