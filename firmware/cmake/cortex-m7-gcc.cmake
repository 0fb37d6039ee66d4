set(CMAKE_SYSTEM_PROCESSOR cortex-m7)
# As TensorFlow Lite Micro's makefile calls it.
set(TFLM_TARGET_ARCH cortex-m7+fp)
include("${CMAKE_CURRENT_LIST_DIR}/cortex-m.cmake")
