# The tflm engine, against a TensorFlow Lite Micro tree in which upstream's makefile has built
#   make -f tensorflow/lite/micro/tools/make/Makefile TARGET=cortex_m_generic TARGET_ARCH=ARCH \
#     OPTIMIZED_KERNEL_DIR=cmsis_nn [CO_PROCESSOR=ethos_u ETHOSU_ARCH=u55] microlite
# with the ARCH that the toolchain file names, and the driver where the board has an NPU.
# third_party/build_tflm.sh does that, and pins the commits that it is built, run and checked with.
# TFLM_MODELS lists the models whose operators are linked.
set(TFLM_MODELS "" CACHE STRING "TFLite files whose operators the tflm engine must have")

file(GLOB_RECURSE _library
  "${TFLM_DIR}/gen/cortex_m_generic_${TFLM_TARGET_ARCH}_*/libtensorflow-microlite.a")
list(LENGTH _library _count)
if(NOT _count EQUAL 1 OR NOT TFLM_MODELS)
  message(FATAL_ERROR "TFLM_DIR must hold one libtensorflow-microlite.a built for "
                      "${TFLM_TARGET_ARCH} (found ${_count}) and TFLM_MODELS must name at least "
                      "one TFLite file")
endif()
set(_downloads "${TFLM_DIR}/tensorflow/lite/micro/tools/make/downloads")

add_library(tflm STATIC IMPORTED)
set_target_properties(tflm PROPERTIES
  IMPORTED_LOCATION "${_library}"
  INTERFACE_COMPILE_DEFINITIONS "TF_LITE_STATIC_MEMORY"
  INTERFACE_INCLUDE_DIRECTORIES
    "${TFLM_DIR};${_downloads}/flatbuffers/include;${_downloads}/gemmlowp;\
${_downloads}/ethos_u_core_driver/include")

find_package(Python3 REQUIRED COMPONENTS Interpreter)
set(_header "${CMAKE_BINARY_DIR}/generated/model_operators.h")
set(_resolver "${TFLM_DIR}/tensorflow/lite/micro/micro_mutable_op_resolver.h")
set(_generator "${CMAKE_SOURCE_DIR}/engine/tflm/generate_operators.py")
file(MAKE_DIRECTORY "${CMAKE_BINARY_DIR}/generated")
add_custom_command(OUTPUT ${_header}
  COMMAND Python3::Interpreter ${_generator} ${_resolver} ${_header} ${TFLM_MODELS}
  DEPENDS ${_generator} ${_resolver} ${TFLM_MODELS} VERBATIM)

target_sources(enhancer PRIVATE engine/tflm/tflm_engine.cpp ${_header})
target_include_directories(enhancer PUBLIC "${CMAKE_BINARY_DIR}/generated")
target_compile_definitions(enhancer PUBLIC ENHANCER_HAS_TFLM=1)
target_link_libraries(enhancer PUBLIC tflm)
target_sources(application PRIVATE app/tflm_messages.cpp)
# Asked for before the library that has one of its own.
target_link_options(application PUBLIC -Wl,--undefined=DebugLog)
# The C library's formatting refers to files, which are not there.
target_link_options(enhancer PUBLIC --specs=nosys.specs)
if(HAS_NPU)
  target_sources(enhancer PRIVATE engine/tflm/ethos_u_driver.cpp)
  # Arm's driver keeps a few bytes of its own on a heap.
  target_link_options(enhancer PUBLIC -Wl,--defsym=heap_bytes=4096)
else()
  target_sources(enhancer PRIVATE engine/tflm/no_npu.cpp)
endif()
