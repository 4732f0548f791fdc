# dalle2.hpp includes every header that works everywhere, and none that is absent.
include(${ROOT}/cmake/dalle2-headers.cmake)
dalle2_list_headers(${ROOT}/include everywhere freetype)
file(STRINGS ${ROOT}/include/dalle2/dalle2.hpp lines REGEX "^#include <dalle2/")
list(TRANSFORM lines REPLACE "#include <(.*)>.*" "\\1")
set(wanted ${everywhere})
list(REMOVE_ITEM wanted ${lines} "")
set(unwanted ${lines})
list(REMOVE_ITEM unwanted ${everywhere} "")
if(wanted OR unwanted)
  message(FATAL_ERROR "include/dalle2/dalle2.hpp lacks [${wanted}] and has, though absent or "
                      "in need of FreeType, [${unwanted}]")
endif()
