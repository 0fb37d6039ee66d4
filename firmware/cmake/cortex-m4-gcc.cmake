set(CMAKE_SYSTEM_PROCESSOR cortex-m4)
# As TensorFlow Lite Micro's makefile calls it.
set(TFLM_TARGET_ARCH cortex-m4+fp)
include("${CMAKE_CURRENT_LIST_DIR}/cortex-m.cmake")
