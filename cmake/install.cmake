# The installed package: find_package(Mephisto) gives Mephisto::mephisto.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

install(TARGETS mephisto EXPORT MephistoTargets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(TARGETS mephisto_tool RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(DIRECTORY include/mephisto DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT MephistoTargets NAMESPACE Mephisto:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/Mephisto)
configure_package_config_file(cmake/MephistoConfig.cmake.in ${CMAKE_BINARY_DIR}/MephistoConfig.cmake
  INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/Mephisto)
write_basic_package_version_file(${CMAKE_BINARY_DIR}/MephistoConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/MephistoConfig.cmake ${CMAKE_BINARY_DIR}/MephistoConfigVersion.cmake cmake/compiler.cmake cmake/FindCodecs.cmake cmake/FindLMDB.cmake cmake/FindRdKafka.cmake
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/Mephisto)
# Where no system has it, the librdkafka that it was linked with comes along.
if(RdKafka_LIBRARY MATCHES "\\.a$")
  install(FILES ${RdKafka_LIBRARY} DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/Mephisto/librdkafka/lib)
  install(DIRECTORY ${RdKafka_INCLUDE_DIR}/librdkafka DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/Mephisto/librdkafka/include)
endif()
