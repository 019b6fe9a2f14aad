# Mongoc::Mongoc: MongoDB's C driver with libbson.
find_library(MONGOC_LIBRARY mongoc-1.0)
find_library(BSON_LIBRARY bson-1.0)
find_path(MONGOC_INCLUDE_DIR mongoc/mongoc.h PATH_SUFFIXES libmongoc-1.0)
find_path(BSON_INCLUDE_DIR bson/bson.h PATH_SUFFIXES libbson-1.0)
mark_as_advanced(MONGOC_LIBRARY BSON_LIBRARY MONGOC_INCLUDE_DIR BSON_INCLUDE_DIR)
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(Mongoc REQUIRED_VARS MONGOC_LIBRARY BSON_LIBRARY MONGOC_INCLUDE_DIR BSON_INCLUDE_DIR)
if(Mongoc_FOUND AND NOT TARGET Mongoc::Mongoc)
  add_library(Mongoc::Mongoc UNKNOWN IMPORTED)
  set_target_properties(Mongoc::Mongoc PROPERTIES
    IMPORTED_LOCATION "${MONGOC_LIBRARY}"
    INTERFACE_INCLUDE_DIRECTORIES "${MONGOC_INCLUDE_DIR};${BSON_INCLUDE_DIR}"
    INTERFACE_LINK_LIBRARIES "${BSON_LIBRARY}")
endif()
