# Codecs::Codecs: Kafka's compression codecs besides gzip: lz4, snappy and zstd.
find_library(LZ4_LIBRARY lz4)
find_library(SNAPPY_LIBRARY snappy)
find_library(ZSTD_LIBRARY zstd)
mark_as_advanced(LZ4_LIBRARY SNAPPY_LIBRARY ZSTD_LIBRARY)
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(Codecs REQUIRED_VARS LZ4_LIBRARY SNAPPY_LIBRARY ZSTD_LIBRARY)
if(Codecs_FOUND AND NOT TARGET Codecs::Codecs)
  add_library(Codecs::Codecs INTERFACE IMPORTED)
  set_target_properties(Codecs::Codecs PROPERTIES
    INTERFACE_LINK_LIBRARIES "${LZ4_LIBRARY};${SNAPPY_LIBRARY};${ZSTD_LIBRARY}")
endif()
