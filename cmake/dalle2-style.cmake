# Targets that look at the source: format, format-check and tidy.
file(
  GLOB_RECURSE
  dalle2_sources
  CONFIGURE_DEPENDS
  ${PROJECT_SOURCE_DIR}/include/*.hpp
  ${PROJECT_SOURCE_DIR}/examples/*.[ch]pp
  ${PROJECT_SOURCE_DIR}/tests/*.[ch]pp
  ${PROJECT_SOURCE_DIR}/benchmarks/*.[ch]pp)

# One version, because each formats a little differently.
find_program(DALLE2_CLANG_FORMAT clang-format-16)
mark_as_advanced(DALLE2_CLANG_FORMAT)
if(DALLE2_CLANG_FORMAT)
  add_custom_target(
    format
    COMMAND ${DALLE2_CLANG_FORMAT} -i ${dalle2_sources}
    COMMENT "Formatting every source file"
    VERBATIM)
  add_custom_target(
    format-check
    COMMAND ${DALLE2_CLANG_FORMAT} --dry-run -Werror ${dalle2_sources}
    COMMENT "Looking at the format of every source file"
    VERBATIM)
endif()

find_program(DALLE2_CLANG_TIDY clang-tidy-16)
mark_as_advanced(DALLE2_CLANG_TIDY)
if(DALLE2_CLANG_TIDY AND DALLE2_BUILD_TESTS)
  # One file that includes every header; the checks see all of them through it.
  add_custom_target(
    tidy
    COMMAND ${DALLE2_CLANG_TIDY} --quiet -p ${PROJECT_BINARY_DIR}
            ${PROJECT_SOURCE_DIR}/tests/headers/first.cpp
    COMMENT "Checking every header with clang-tidy"
    VERBATIM)
endif()
