# The few CMSIS-DSP functions the enhancer uses, from an unpacked source release in CMSIS_DSP_DIR
# (third_party/fetch_cmsis_dsp.py fetches the pinned one).
if(NOT EXISTS "${CMSIS_DSP_DIR}/Include/arm_math_types.h")
  message(FATAL_ERROR
    "CMSIS_DSP_DIR='${CMSIS_DSP_DIR}' holds no CMSIS-DSP source: run "
    "firmware/third_party/fetch_cmsis_dsp.py DIRECTORY and pass -DCMSIS_DSP_DIR=DIRECTORY")
endif()

set(_source "${CMSIS_DSP_DIR}/Source")
add_library(cmsis_dsp STATIC
  ${_source}/BasicMathFunctions/arm_add_f32.c
  ${_source}/BasicMathFunctions/arm_clip_f32.c
  ${_source}/BasicMathFunctions/arm_mult_f32.c
  ${_source}/BasicMathFunctions/arm_offset_f32.c
  ${_source}/BasicMathFunctions/arm_scale_f32.c
  ${_source}/BasicMathFunctions/arm_sub_f32.c
  ${_source}/CommonTables/arm_common_tables.c
  ${_source}/CommonTables/arm_const_structs.c
  ${_source}/CommonTables/arm_mve_tables.c
  ${_source}/ComplexMathFunctions/arm_cmplx_mag_f32.c
  ${_source}/ComplexMathFunctions/arm_cmplx_mult_real_f32.c
  ${_source}/FastMathFunctions/arm_vexp_f32.c
  ${_source}/FastMathFunctions/arm_vlog_f32.c
  ${_source}/SupportFunctions/arm_copy_f32.c
  ${_source}/TransformFunctions/arm_bitreversal2.c
  ${_source}/TransformFunctions/arm_cfft_f32.c
  ${_source}/TransformFunctions/arm_cfft_init_f32.c
  ${_source}/TransformFunctions/arm_cfft_radix8_f32.c
  ${_source}/TransformFunctions/arm_rfft_fast_f32.c
  ${_source}/TransformFunctions/arm_rfft_fast_init_f32.c)
target_include_directories(cmsis_dsp SYSTEM PUBLIC "${CMSIS_DSP_DIR}/Include")
target_include_directories(cmsis_dsp PRIVATE "${CMSIS_DSP_DIR}/PrivateInclude")
target_compile_options(cmsis_dsp PRIVATE -w)
if(CMAKE_CROSSCOMPILING)
  # CMSIS-DSP expects cmsis_compiler.h from CMSIS-Core, of which it uses a few macros only.
  target_include_directories(cmsis_dsp SYSTEM PUBLIC "${CMAKE_CURRENT_LIST_DIR}/cmsis_core")
  target_compile_options(cmsis_dsp PRIVATE -Ofast)
else()
  # CMSIS-DSP's own switch for builds without CMSIS-Core.
  target_compile_definitions(cmsis_dsp PUBLIC __GNUC_PYTHON__)
endif()
