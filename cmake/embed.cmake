# Writes a C++ source with the files of a folder as text: the function page_files() of NAMESPACE, which HEADER declares.
# cmake -DFOLDER=... -DOUT=... -DHEADER=cli/operator_page.h -DNAMESPACE=mephisto::cli -P embed.cmake
file(GLOB files RELATIVE ${FOLDER} ${FOLDER}/*)
set(rows "")
foreach(name IN LISTS files)
  file(READ ${FOLDER}/${name} text)
  string(APPEND rows "    {\"${name}\", R\"~page~(${text})~page~\"},\n")
endforeach()
file(WRITE ${OUT} "#include \"${HEADER}\"\n\nnamespace ${NAMESPACE} {\n\nstd::span<const std::pair<std::string_view, std::string_view>> page_files() {\n  static constexpr std::pair<std::string_view, std::string_view> kFiles[] = {\n${rows}  };\n  return kFiles;\n}\n\n}  // namespace ${NAMESPACE}\n")
