# The installed package: find_package(Mephisto) defines Mephisto::mephisto.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

install(TARGETS mephisto EXPORT MephistoTargets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(TARGETS mephisto_tool RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(DIRECTORY include/mephisto DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT MephistoTargets NAMESPACE Mephisto:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/Mephisto)
configure_package_config_file(cmake/MephistoConfig.cmake.in ${PROJECT_BINARY_DIR}/MephistoConfig.cmake
  INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/Mephisto)
file(RELATIVE_PATH MEPHISTO_PC_INCLUDEDIR "/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/${CMAKE_INSTALL_INCLUDEDIR}")
configure_file(cmake/mephisto.pc.in ${PROJECT_BINARY_DIR}/mephisto.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/mephisto.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/MephistoConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES
  ${PROJECT_BINARY_DIR}/MephistoConfig.cmake ${PROJECT_BINARY_DIR}/MephistoConfigVersion.cmake
  cmake/compiler.cmake cmake/FindCctz.cmake cmake/FindCodecs.cmake cmake/FindLMDB.cmake cmake/FindRdKafka.cmake cmake/FindRocksDB.cmake
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/Mephisto)
# A librdkafka that dev/librdkafka has built is installed too, because no system has it.
if(RdKafka_LIBRARY MATCHES "\\.a$")
  install(FILES ${RdKafka_LIBRARY} DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/Mephisto/librdkafka/lib)
  install(DIRECTORY ${RdKafka_INCLUDE_DIR}/librdkafka
    DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/Mephisto/librdkafka/include)
endif()

# The tool itself writes its manual page and completions.
function(install_output path)
  list(JOIN ARGN "\" \"" words)
  install(CODE "
    set(file \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_DATADIR}/${path}\")
    get_filename_component(folder \"\${file}\" DIRECTORY)
    file(MAKE_DIRECTORY \"\${folder}\")
    execute_process(COMMAND \"$<TARGET_FILE:mephisto_tool>\" \"${words}\" OUTPUT_FILE \"\${file}\"
      COMMAND_ERROR_IS_FATAL ANY)
    message(STATUS \"Installing: \${file}\")")
endfunction()
install_output(man/man1/mephisto.1 man)
install_output(bash-completion/completions/mephisto completion bash)
install_output(zsh/site-functions/_mephisto completion zsh)
install_output(fish/vendor_completions.d/mephisto.fish completion fish)
