#pragma once

#include "engine/engine.h"
#if ENHANCER_HAS_NPU
#include "engine/npu/npu_engine.h"
#endif
#if ENHANCER_HAS_TFLM
#include "engine/tflm/tflm_engine.h"
#endif

namespace enhancer {

/// One of each engine of this build (options HAS_NPU and TFLM_DIR of CMake).
class Engines {
 public:
  /// The first that accepts the package, or nullptr.
  Engine* find([[maybe_unused]] const ModelPackage& package) {
#if ENHANCER_HAS_NPU
    if (npu_.accepts(package)) {
      return &npu_;
    }
#endif
#if ENHANCER_HAS_TFLM
    if (tflm_.accepts(package)) {
      return &tflm_;
    }
#endif
    return nullptr;
  }

 private:
#if ENHANCER_HAS_NPU
  NpuEngine npu_;
#endif
#if ENHANCER_HAS_TFLM
  TflmEngine tflm_;
#endif
};

}  // namespace enhancer
