# RdKafka::RdKafka: librdkafka's C API. Takes the library installed with Mephisto, else the newest one that
# dev/librdkafka has built, else the system's. The CMake files of Debian's package do not find the static parts
# correctly.
file(GLOB RdKafka_places LIST_DIRECTORIES true "$ENV{HOME}/.cache/mephisto/librdkafka-*")
if(DEFINED ENV{XDG_CACHE_HOME})
  file(GLOB RdKafka_places LIST_DIRECTORIES true "$ENV{XDG_CACHE_HOME}/mephisto/librdkafka-*")
endif()
list(SORT RdKafka_places COMPARE NATURAL ORDER DESCENDING)
list(PREPEND RdKafka_places ${CMAKE_CURRENT_LIST_DIR}/librdkafka)
find_path(RdKafka_INCLUDE_DIR librdkafka/rdkafka.h PATHS ${RdKafka_places} PATH_SUFFIXES include NO_DEFAULT_PATH)
find_path(RdKafka_INCLUDE_DIR librdkafka/rdkafka.h)
find_library(RdKafka_LIBRARY rdkafka PATHS ${RdKafka_places} PATH_SUFFIXES lib NO_DEFAULT_PATH)
find_library(RdKafka_LIBRARY rdkafka)
mark_as_advanced(RdKafka_LIBRARY RdKafka_INCLUDE_DIR)

# The libraries that the static library needs.
set(RdKafka_needs)
set(RdKafka_needed)
if(RdKafka_LIBRARY MATCHES "\\.a$")
  foreach(name sasl2 ssl crypto lz4 zstd z)
    find_library(RdKafka_${name}_LIBRARY ${name})
    mark_as_advanced(RdKafka_${name}_LIBRARY)
    list(APPEND RdKafka_needs RdKafka_${name}_LIBRARY)
    list(APPEND RdKafka_needed ${RdKafka_${name}_LIBRARY})
  endforeach()
endif()
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(RdKafka REQUIRED_VARS RdKafka_LIBRARY RdKafka_INCLUDE_DIR ${RdKafka_needs})
if(RdKafka_FOUND AND NOT TARGET RdKafka::RdKafka)
  add_library(RdKafka::RdKafka UNKNOWN IMPORTED)
  set_target_properties(RdKafka::RdKafka PROPERTIES
    IMPORTED_LOCATION "${RdKafka_LIBRARY}"
    INTERFACE_INCLUDE_DIRECTORIES "${RdKafka_INCLUDE_DIR}")
  if(RdKafka_needs)
    set_target_properties(RdKafka::RdKafka PROPERTIES INTERFACE_LINK_LIBRARIES "${RdKafka_needed};${CMAKE_DL_LIBS};m")
  endif()
endif()
