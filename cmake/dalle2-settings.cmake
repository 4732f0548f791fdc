# The options of this project, and what holds when it is built on its own.
include(GNUInstallDirs)

option(DALLE2_OPENMP "Use several cores through OpenMP, where the compiler has it" ON)
option(DALLE2_BUILD_EXAMPLES "Build the command-line tool and the examples" ${PROJECT_IS_TOP_LEVEL})
option(DALLE2_BUILD_TESTS "Build the tests" ${PROJECT_IS_TOP_LEVEL})
option(DALLE2_BUILD_BENCHMARKS "Build the benchmarks" ${PROJECT_IS_TOP_LEVEL})
option(DALLE2_BUILD_FUZZERS "Build the fuzz targets for libFuzzer (needs clang)" OFF)
option(DALLE2_INSTALL "Install the headers and the CMake package" ${PROJECT_IS_TOP_LEVEL})

if(PROJECT_IS_TOP_LEVEL)
  get_property(dalle2_multi_config GLOBAL PROPERTY GENERATOR_IS_MULTI_CONFIG)
  if(NOT CMAKE_BUILD_TYPE AND NOT dalle2_multi_config)
    # A network without optimisation is some twenty times slower: nobody wants that by accident.
    set(CMAKE_BUILD_TYPE Release CACHE STRING "Debug, Release, RelWithDebInfo or MinSizeRel" FORCE)
  endif()
  set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
endif()
