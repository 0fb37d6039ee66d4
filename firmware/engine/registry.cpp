#include "engine/engine.h"
#include "engine/npu/npu_engine.h"
#if ENHANCER_HAS_TFLM
#include "engine/tflm/tflm_engine.h"
#endif

namespace enhancer {
namespace {

NpuEngine npu_engine;
#if ENHANCER_HAS_TFLM
TflmEngine tflm_engine;
Engine* const kEngines[] = {&npu_engine, &tflm_engine};
#else
Engine* const kEngines[] = {&npu_engine};
#endif

}  // namespace

Engine* find_engine(const ModelPackage& package) {
  for (Engine* engine : kEngines) {
    if (engine->accepts(package)) {
      return engine;
    }
  }
  return nullptr;
}

}  // namespace enhancer
