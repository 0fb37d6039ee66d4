#include "engine/tflm/ethos_u_driver.h"

/// In place of Arm's driver on a board without NPU.
namespace enhancer {

Status ethos_u_driver::start() { return {Error::kNpuAbsent}; }

void ethos_u_driver::set_timeout(std::uint64_t /*ticks*/) {}

bool ethos_u_driver::timed_out() { return false; }

NpuCounters ethos_u_driver::take_counters() { return {}; }

}  // namespace enhancer
