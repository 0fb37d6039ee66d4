/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The part of QEMU's internal interface that the plugin uses. Distribution builds of QEMU export
 * these symbols but ship no headers for them, so they are declared here, for the releases listed in
 * qemu_plugin.c only: the plugin refuses to load into any other. */

#include <stdbool.h>
#include <stdint.h>

/* Two structures are only ever handed back to QEMU; these sizes are generous upper bounds. */
typedef struct {
  _Alignas(16) unsigned char storage[4096];
} qemu_memory_region;
typedef struct {
  _Alignas(16) unsigned char storage[512];
} qemu_timer;

typedef uint64_t hwaddr;
/* A bit field passed by value. */
typedef uint32_t MemTxAttrs;
typedef uint32_t MemTxResult;

typedef struct {
  uint64_t (*read)(void* opaque, hwaddr offset, unsigned bytes);
  void (*write)(void* opaque, hwaddr offset, uint64_t value, unsigned bytes);
  void* read_with_attrs;
  void* write_with_attrs;
  int endianness;
  struct {
    unsigned min_access_size, max_access_size;
    bool unaligned;
    void* accepts;
  } valid;
  struct {
    unsigned min_access_size, max_access_size;
    bool unaligned;
  } impl;
} MemoryRegionOps;
enum { DEVICE_LITTLE_ENDIAN = 2 };

typedef struct Notifier {
  void (*notify)(struct Notifier* notifier, void* data);
  void* list[2];
} Notifier;

typedef struct {
  int64_t major, minor, micro;
} VersionTriple;
typedef struct {
  VersionTriple* qemu;
  char* package;
} VersionInfo;
VersionInfo* qmp_query_version(void* error);
void qapi_free_VersionInfo(VersionInfo* info);

void* object_resolve_path(const char* path, bool* ambiguous);
void qemu_add_machine_init_done_notifier(Notifier* notifier);

void memory_region_init_io(qemu_memory_region* region, void* owner, const MemoryRegionOps* ops,
                           void* opaque, const char* name, uint64_t bytes);
void memory_region_add_subregion_overlap(void* parent, hwaddr offset, qemu_memory_region* child,
                                         int priority);
void* get_system_memory(void);

void* qemu_get_cpu(int index);
void* cpu_get_address_space(void* cpu, int index);
MemTxResult address_space_rw(void* space, hwaddr address, MemTxAttrs attributes, void* data,
                             hwaddr bytes, bool is_write);

void* qdev_get_gpio_in_named(void* device, const char* name, int index);
void qemu_set_irq(void* irq, int level);

int64_t qemu_clock_get_ns(int clock);
void timer_init_full(qemu_timer* timer, void* timer_list_group, int clock, int scale,
                     int attributes, void (*expired)(void* opaque), void* opaque);
void timer_mod_ns(qemu_timer* timer, int64_t expire_time_ns);
enum { QEMU_CLOCK_VIRTUAL = 1, SCALE_NS = 1 };
