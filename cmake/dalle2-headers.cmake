# dalle2_list_headers(ROOT everywhere freetype): the headers below ROOT/dalle2, in two lists of
# paths as one includes them: those that work everywhere, and those that include FreeType, be it
# through others of ours. In neither are dalle2.hpp itself and the two called separate.hpp, which one
# file of a program may include to compile for the others.
function(dalle2_list_headers root everywhere_variable freetype_variable)
  set(depends CONFIGURE_DEPENDS)
  if(CMAKE_SCRIPT_MODE_FILE)
    set(depends "")
  endif()
  file(GLOB_RECURSE headers ${depends} RELATIVE "${root}" "${root}/dalle2/*.hpp")
  list(REMOVE_ITEM headers dalle2/dalle2.hpp dalle2/kernels/separate.hpp
       dalle2/pipeline/separate.hpp)
  set(freetype "")
  set(pattern "#include <ft2build.h>")
  while(pattern)
    set(found "")
    foreach(header IN LISTS headers)
      file(STRINGS "${root}/${header}" lines REGEX "${pattern}")
      if(lines)
        list(APPEND found ${header})
      endif()
    endforeach()
    list(REMOVE_ITEM headers ${found} "")
    list(APPEND freetype ${found})
    # Next round: those which include what was found in this one.
    list(JOIN found "|" pattern)
    if(pattern)
      string(REPLACE "." "\\." pattern "#include <(${pattern})>")
    endif()
  endwhile()
  set(${everywhere_variable} "${headers}" PARENT_SCOPE)
  set(${freetype_variable} "${freetype}" PARENT_SCOPE)
endfunction()
