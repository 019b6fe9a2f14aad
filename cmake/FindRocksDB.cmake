# RocksDB::RocksDB. The CMake files of Debian's package ask for libraries that only its tools need.
find_library(RocksDB_LIBRARY rocksdb)
find_path(RocksDB_INCLUDE_DIR rocksdb/db.h)
mark_as_advanced(RocksDB_LIBRARY RocksDB_INCLUDE_DIR)
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(RocksDB REQUIRED_VARS RocksDB_LIBRARY RocksDB_INCLUDE_DIR)
if(RocksDB_FOUND AND NOT TARGET RocksDB::RocksDB)
  add_library(RocksDB::RocksDB UNKNOWN IMPORTED)
  set_target_properties(RocksDB::RocksDB PROPERTIES
    IMPORTED_LOCATION "${RocksDB_LIBRARY}"
    INTERFACE_INCLUDE_DIRECTORIES "${RocksDB_INCLUDE_DIR}")
endif()
