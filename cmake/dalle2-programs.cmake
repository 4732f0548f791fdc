# What our own programs (examples, benchmarks, tests) share.

# Strict warnings are for our own targets alone: a user's flags are the user's.
add_library(dalle2_warnings INTERFACE)
target_compile_options(
  dalle2_warnings
  INTERFACE
    $<$<CXX_COMPILER_ID:GNU,Clang,AppleClang>:-Wall;-Wextra;-Wpedantic;-Wconversion;-Wshadow>)
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  # g++ 12 sees impossible copies in std::string's own operator+ (GCC bug 105651).
  target_compile_options(dalle2_warnings INTERFACE -Wno-restrict -Wno-stringop-overflow
                                                  -Wno-array-bounds)
endif()

# Ours as well, though a user's flags decide.
target_link_libraries(dalle2_kernels PRIVATE dalle2_warnings)
target_link_libraries(dalle2_compiled PRIVATE dalle2_warnings)

# What runs for moments and is compiled often: without the optimisations that take longest. The
# kernels, where the time goes, are not among it.
add_library(dalle2_quick_to_compile INTERFACE)
target_compile_options(dalle2_quick_to_compile
                       INTERFACE $<$<AND:$<CONFIG:Release>,$<CXX_COMPILER_ID:GNU,Clang,AppleClang>>:-O1>)

# dalle2_compile_as_one(target): its sources as one translation unit, which takes a fraction of the
# time where all of them instantiate the same templates. With -DCMAKE_UNITY_BUILD=OFF each is compiled
# by itself, for who changes one of them again and again.
function(dalle2_compile_as_one target)
  if(NOT DEFINED CMAKE_UNITY_BUILD)
    set_target_properties(${target} PROPERTIES UNITY_BUILD ON)
  endif()
  set_target_properties(${target} PROPERTIES UNITY_BUILD_BATCH_SIZE 0)
endfunction()

# What a program of this project links: the library, its warnings, and FreeType where it is there.
# Examples, the tool and what loads whole models link dalle2::compiled besides; the others need not
# wait for it.
add_library(dalle2_program INTERFACE)
target_link_libraries(dalle2_program INTERFACE dalle2_kernels dalle2_warnings)
target_compile_definitions(dalle2_program INTERFACE DALLE2_SEPARATE_PIPELINES)
if(dalle2_has_freetype)
  target_link_libraries(dalle2_program INTERFACE dalle2_data)
endif()

include(${PROJECT_SOURCE_DIR}/cmake/dalle2-headers.cmake)
dalle2_list_headers(${PROJECT_SOURCE_DIR}/include dalle2_headers dalle2_freetype_headers)

# dalle2_keep_buildable(sources): drops the sources that include a library which is not there,
# and says so.
function(dalle2_keep_buildable sources_variable)
  set(kept "")
  list(JOIN dalle2_freetype_headers "|" freetype_headers)
  foreach(source IN LISTS ${sources_variable})
    file(STRINGS "${source}" freetype REGEX "#include <(${freetype_headers}|ft2build\\.h)>")
    file(STRINGS "${source}" benchmark REGEX "#include <benchmark/benchmark.h>")
    file(RELATIVE_PATH name "${PROJECT_SOURCE_DIR}" "${source}")
    if(freetype AND NOT dalle2_has_freetype)
      message(STATUS "dalle2: without FreeType (Debian: libfreetype-dev) there is no ${name}")
    elseif(benchmark AND NOT TARGET benchmark::benchmark)
      message(STATUS "dalle2: without Google Benchmark (Debian: libbenchmark-dev) "
                     "there is no ${name}")
    else()
      list(APPEND kept "${source}")
    endif()
  endforeach()
  set(${sources_variable} "${kept}" PARENT_SCOPE)
endfunction()
