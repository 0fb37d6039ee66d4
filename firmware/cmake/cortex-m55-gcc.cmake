set(CMAKE_SYSTEM_PROCESSOR cortex-m55)
# As TensorFlow Lite Micro's makefile calls it.
set(TFLM_TARGET_ARCH cortex-m55)
include("${CMAKE_CURRENT_LIST_DIR}/cortex-m.cmake")
