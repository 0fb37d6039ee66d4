#include "engine/tflm/ethos_u_driver.h"

#include <ethosu_driver.h>

#include "engine/npu/pmu.h"
#include "platform/platform.h"

namespace enhancer {
namespace {

ethosu_driver driver;
NpuCounters counters;
std::uint64_t timeout_ticks = 0;
bool gave_up = false;

struct Semaphore {
  volatile int count = 0;
};

void handle_interrupt() { ethosu_irq_handler(&driver); }

}  // namespace

Status ethos_u_driver::start() {
  constexpr std::uint32_t kSecure = 1;
  constexpr std::uint32_t kPrivileged = 1;
  // A driver must not be initialized twice.
  static bool is_initialized = false;
  const int result = is_initialized ? ethosu_soft_reset(&driver)
                                    : ethosu_init(&driver, platform::npu_register_base(), nullptr,
                                                  0, kSecure, kPrivileged);
  is_initialized = is_initialized || result == 0;
  return result == 0 ? kOk : Status{Error::kNpuAbsent};
}

void ethos_u_driver::set_timeout(std::uint64_t ticks) {
  timeout_ticks = ticks;
  gave_up = false;
}

bool ethos_u_driver::timed_out() { return gave_up; }

NpuCounters ethos_u_driver::take_counters() {
  const NpuCounters taken = counters;
  counters = NpuCounters{};
  return taken;
}

}  // namespace enhancer

/// The driver's hooks for operating systems: here there is one thread, the interrupt, no heap, and
/// a limit to every wait.
extern "C" {

void* ethosu_mutex_create() {
  static int mutex;
  return &mutex;
}

int ethosu_mutex_lock(void* /*mutex*/) { return 0; }

int ethosu_mutex_unlock(void* /*mutex*/) { return 0; }

void* ethosu_semaphore_create() {
  // One counts free NPUs, one belongs to the driver of the only NPU.
  static enhancer::Semaphore semaphores[2];
  static std::size_t used = 0;
  return used < 2 ? &semaphores[used++] : nullptr;
}

int ethosu_semaphore_take(void* semaphore, std::uint64_t /*timeout*/) {
  auto& taken = *static_cast<enhancer::Semaphore*>(semaphore);
  namespace platform = enhancer::platform;
  const std::uint64_t deadline = platform::ticks() + enhancer::timeout_ticks;
  while (taken.count == 0) {
    if (platform::ticks() > deadline) {
      enhancer::gave_up = true;
      return -1;
    }
  }
  taken.count = taken.count - 1;
  return 0;
}

int ethosu_semaphore_give(void* semaphore) {
  auto& given = *static_cast<enhancer::Semaphore*>(semaphore);
  given.count = given.count + 1;
  return 0;
}

void ethosu_flush_dcache(std::uint32_t* data, std::size_t bytes) {
  enhancer::platform::cache_clean(data, bytes);
}

void ethosu_invalidate_dcache(std::uint32_t* data, std::size_t bytes) {
  enhancer::platform::cache_invalidate(data, bytes);
}

/// The driver resets the NPU before every job and lets it be powered down after, so that counters
/// hold what they counted only in between. The interrupt is the driver's just as long.
void ethosu_inference_begin(ethosu_driver* /*driver*/, void* /*user_argument*/) {
  enhancer::platform::npu_set_interrupt_handler(enhancer::handle_interrupt);
  enhancer::ethos_u55::pmu::start();
}

void ethosu_inference_end(ethosu_driver* /*driver*/, void* /*user_argument*/) {
  enhancer::counters += enhancer::ethos_u55::pmu::stop();
  enhancer::platform::npu_set_interrupt_handler(nullptr);
}
}
