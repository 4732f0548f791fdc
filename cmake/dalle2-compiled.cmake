# Two static libraries in the place of headers alone, built where something links them: dalle2::kernels
# with the vector code of every instruction set, and dalle2::compiled with it and with what load(),
# load_variations() and load_clip() make, for every engine. A file that calls these then compiles
# in a quarter of the time.
set(dalle2_compiled_folder ${CMAKE_CURRENT_BINARY_DIR}/dalle2-compiled)

file(CONFIGURE OUTPUT ${dalle2_compiled_folder}/kernels.cpp
     CONTENT "#include <dalle2/kernels/separate.hpp>\n")
add_library(dalle2_kernels STATIC EXCLUDE_FROM_ALL ${dalle2_compiled_folder}/kernels.cpp)
add_library(dalle2::kernels ALIAS dalle2_kernels)
target_compile_definitions(dalle2_kernels PUBLIC DALLE2_SEPARATE_KERNELS)
target_link_libraries(dalle2_kernels PUBLIC dalle2::dalle2)

# One file: what the pipelines have in common, which is nearly everything, is then compiled once.
file(CONFIGURE OUTPUT ${dalle2_compiled_folder}/pipelines.cpp
     CONTENT "#include <dalle2/pipeline/separate.hpp>\n")
add_library(dalle2_compiled STATIC EXCLUDE_FROM_ALL ${dalle2_compiled_folder}/pipelines.cpp)
add_library(dalle2::compiled ALIAS dalle2_compiled)
target_compile_definitions(dalle2_compiled PUBLIC DALLE2_SEPARATE_PIPELINES)
target_link_libraries(dalle2_compiled PUBLIC dalle2_kernels)

# They may become part of a shared library, and each source must stay one file.
set_target_properties(dalle2_kernels dalle2_compiled PROPERTIES POSITION_INDEPENDENT_CODE ON
                                                                UNITY_BUILD OFF)
# Optimised in a debug build too, unless it says how: a picture would take minutes, and nobody steps
# through these.
if(NOT CMAKE_CXX_FLAGS_DEBUG MATCHES "-O")
  foreach(dalle2_compiled_target IN ITEMS dalle2_kernels dalle2_compiled)
    target_compile_options(
      ${dalle2_compiled_target}
      PRIVATE $<$<AND:$<CONFIG:Debug>,$<CXX_COMPILER_ID:GNU,Clang,AppleClang>>:-O2>)
  endforeach()
endif()
