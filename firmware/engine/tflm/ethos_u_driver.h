#pragma once

#include "base/status.h"

namespace enhancer {

/// Initialize Arm's Ethos-U driver, which TensorFlow Lite Micro's ethos-u operator calls.
Status start_ethos_u_driver();

}  // namespace enhancer
