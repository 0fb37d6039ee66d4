# An image for a Cortex-M board: its memory.ld names memories, and these variables say what lies in
# which. The defaults are the board's (board.cmake); -DSTACKS_REGION=SRAM and the like choose others.
foreach(_part CODE DATA STACKS ARENA MODEL)
  set(${_part}_REGION "${DEFAULT_${_part}_REGION}" CACHE STRING "Memory of the board that holds it")
endforeach()
set(STACK_BYTES 16K CACHE STRING "Size of the stack")
set(ARENA_BYTES 2M CACHE STRING "Size of the memory lent to the engine")

set(_cortex_m "${CMAKE_CURRENT_LIST_DIR}")
set(_memory "${CMAKE_CURRENT_SOURCE_DIR}/memory.ld")
set(_sections "${_cortex_m}/sections.ld")
set(_layout "INCLUDE \"${_memory}\"\n")
foreach(_part CODE DATA STACKS ARENA MODEL)
  string(APPEND _layout "REGION_ALIAS(\"${_part}\", ${${_part}_REGION})\n")
endforeach()
string(APPEND _layout "stack_bytes = ${STACK_BYTES};\narena_bytes = ${ARENA_BYTES};\n")
string(APPEND _layout "INCLUDE \"${_sections}\"\n")
file(CONFIGURE OUTPUT layout.ld CONTENT "${_layout}")

if(EMBEDDED_PACKAGE)
  enable_language(ASM)
endif()

# enhancer.elf from the sources of a board, which are linked with what every Cortex-M needs.
function(add_cortex_m_image)
  add_executable(enhancer.elf ${ARGN}
    ${_cortex_m}/clock.cpp
    ${_cortex_m}/helium_memory.cpp
    ${_cortex_m}/memory.cpp
    ${_cortex_m}/semihosting.cpp
    ${_cortex_m}/startup.cpp)
  target_link_libraries(enhancer.elf PRIVATE application)
  target_link_options(enhancer.elf PRIVATE
    -nostartfiles --specs=nano.specs
    -T ${CMAKE_CURRENT_BINARY_DIR}/layout.ld
    -Wl,--gc-sections -Wl,--fatal-warnings -Wl,-Map=enhancer.map)
  set_target_properties(enhancer.elf PROPERTIES LINK_DEPENDS
    "${_memory};${_sections};${CMAKE_CURRENT_BINARY_DIR}/layout.ld")
  if(EMBEDDED_PACKAGE)
    target_sources(enhancer.elf PRIVATE ${_cortex_m}/embedded_package.S)
    set_source_files_properties(${_cortex_m}/embedded_package.S PROPERTIES
      COMPILE_DEFINITIONS "EMBEDDED_PACKAGE=\"${EMBEDDED_PACKAGE}\""
      OBJECT_DEPENDS "${EMBEDDED_PACKAGE}")
  endif()
endfunction()
