# Finds what the headers of dalle2 include and gathers it in one target, dalle2::dependencies.
# The build of this project and the installed package both read this file, so that there is one
# place that knows where dependencies are and how each system calls them.
#
# Reads DALLE2_OPENMP (on when unset).
# Sets  dalle2_missing: empty, or one message that names every absent package;
#       dalle2_has_freetype: whether dalle2::data (the emoji scenes) is there.

set(dalle2_missing "")
set(dalle2_missing_debian "")
set(dalle2_missing_vcpkg "")
set(dalle2_missing_conda "")

# One line of the message for an absent package, and its names for the commands below it.
macro(dalle2_is_missing name debian vcpkg conda)
  string(APPEND dalle2_missing "  ${name}\n")
  string(APPEND dalle2_missing_debian " ${debian}")
  string(APPEND dalle2_missing_vcpkg " ${vcpkg}")
  string(APPEND dalle2_missing_conda " ${conda}")
endmacro()

find_package(xtensor CONFIG QUIET)
if(NOT xtensor_FOUND)
  dalle2_is_missing("xtensor, 0.24 or newer (with xtl): arrays" libxtensor-dev xtensor xtensor)
endif()

# No version is asked for: Eigen 5 calls itself incompatible with 3.4, but serves us as well.
find_package(Eigen3 CONFIG QUIET)
if(NOT TARGET Eigen3::Eigen)
  dalle2_is_missing("Eigen, 3.4 or newer: linear algebra" libeigen3-dev eigen3 eigen)
elseif(Eigen3_VERSION AND Eigen3_VERSION VERSION_LESS 3.4)
  dalle2_is_missing("Eigen, 3.4 or newer: linear algebra (found ${Eigen3_VERSION})" libeigen3-dev
                    eigen3 eigen)
endif()

find_package(nlohmann_json CONFIG QUIET)
if(NOT TARGET nlohmann_json::nlohmann_json)
  dalle2_is_missing("nlohmann/json, 3.9 or newer: configurations and vocabularies"
                    nlohmann-json3-dev nlohmann-json nlohmann_json)
endif()

# stb is single files without a CMake package, in a folder of its own (Debian) or not.
if(NOT CMAKE_DISABLE_FIND_PACKAGE_stb)
  find_path(DALLE2_STB_INCLUDE_DIR stb_image.h PATH_SUFFIXES stb)
  mark_as_advanced(DALLE2_STB_INCLUDE_DIR)
endif()
if(NOT DALLE2_STB_INCLUDE_DIR)
  dalle2_is_missing("stb: picture files" libstb-dev stb stb)
endif()

# utf8proc has a CMake package since 2.9, vcpkg one of its own, Debian 12 none.
set(dalle2_utf8proc "")
find_package(utf8proc CONFIG QUIET)
if(NOT TARGET utf8proc::utf8proc)
  find_package(unofficial-utf8proc CONFIG QUIET)
endif()
if(TARGET utf8proc::utf8proc)
  set(dalle2_utf8proc utf8proc::utf8proc)
elseif(TARGET utf8proc)
  set(dalle2_utf8proc utf8proc)
elseif(NOT CMAKE_DISABLE_FIND_PACKAGE_utf8proc)
  find_path(DALLE2_UTF8PROC_INCLUDE_DIR utf8proc.h)
  find_library(DALLE2_UTF8PROC_LIBRARY NAMES utf8proc utf8proc_static)
  mark_as_advanced(DALLE2_UTF8PROC_INCLUDE_DIR DALLE2_UTF8PROC_LIBRARY)
  if(DALLE2_UTF8PROC_INCLUDE_DIR AND DALLE2_UTF8PROC_LIBRARY)
    set(dalle2_utf8proc "${DALLE2_UTF8PROC_LIBRARY}")
  endif()
endif()
if(NOT dalle2_utf8proc)
  dalle2_is_missing("utf8proc: Unicode for the tokenizer" libutf8proc-dev utf8proc libutf8proc)
endif()

if(dalle2_missing)
  string(
    CONCAT dalle2_missing
           "dalle2 cannot be built, because these libraries were not found:\n"
           "${dalle2_missing}"
           "They come with:\n"
           "  Debian, Ubuntu:  apt-get install${dalle2_missing_debian}\n"
           "  vcpkg:           vcpkg install${dalle2_missing_vcpkg}\n"
           "  conda-forge:     conda install -c conda-forge${dalle2_missing_conda}\n"
           "If one is somewhere else, name its folder in CMAKE_PREFIX_PATH.")
elseif(NOT TARGET dalle2::dependencies)
  add_library(dalle2::dependencies INTERFACE IMPORTED GLOBAL)
  target_link_libraries(dalle2::dependencies INTERFACE xtensor Eigen3::Eigen
                                                       nlohmann_json::nlohmann_json
                                                       ${dalle2_utf8proc})
  target_include_directories(dalle2::dependencies INTERFACE "${DALLE2_STB_INCLUDE_DIR}")
  if(DALLE2_UTF8PROC_INCLUDE_DIR)
    target_include_directories(dalle2::dependencies INTERFACE "${DALLE2_UTF8PROC_INCLUDE_DIR}")
  endif()
  if(xtensor_VERSION VERSION_LESS 0.26)
    # These versions of xtensor pass templates with defaulted parameters where clang 19 and newer
    # find them ambiguous, unless told to match as before.
    target_compile_options(
      dalle2::dependencies
      INTERFACE
        "$<$<AND:$<CXX_COMPILER_ID:Clang>,$<VERSION_GREATER_EQUAL:$<CXX_COMPILER_VERSION>,19>>:-fno-relaxed-template-template-args;-Wno-deprecated-no-relaxed-template-template-args>"
    )
  endif()
  # Without OpenMP everything works on one core.
  if(DALLE2_OPENMP OR NOT DEFINED DALLE2_OPENMP)
    find_package(OpenMP QUIET COMPONENTS CXX)
    if(TARGET OpenMP::OpenMP_CXX)
      target_link_libraries(dalle2::dependencies INTERFACE OpenMP::OpenMP_CXX)
    elseif(PROJECT_NAME STREQUAL dalle2)
      message(WARNING "OpenMP was not found: dalle2 will use one core. "
                      "For clang on Debian it is the package libomp-dev of the same version.")
    endif()
  endif()
endif()

# FreeType draws the emoji of the training scenes; nothing else includes it.
find_package(Freetype QUIET)
set(dalle2_has_freetype ${Freetype_FOUND})
