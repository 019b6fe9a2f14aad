# Writes a C++ source with the files of a folder as text: cmake -DFOLDER=... -DOUT=... -P embed.cmake
file(GLOB files RELATIVE ${FOLDER} ${FOLDER}/*)
set(rows "")
foreach(name IN LISTS files)
  file(READ ${FOLDER}/${name} text)
  string(APPEND rows "    {\"${name}\", R\"~page~(${text})~page~\"},\n")
endforeach()
file(WRITE ${OUT} "#include \"cli/operator_page.h\"\n\nnamespace mephisto::cli {\n\nstd::span<const PageFile> page_files() {\n  static constexpr PageFile kFiles[] = {\n${rows}  };\n  return kFiles;\n}\n\n}  // namespace mephisto::cli\n")
