# Refuses compilers that miscompile coroutines, for this build and for users of the installed package.
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  message(FATAL_ERROR
    "g++ ${CMAKE_CXX_COMPILER_VERSION} destroys temporaries twice in `co_await f({.url = x})` and "
    "`co_await f([captured]{...})`, so programs built with it corrupt memory. Use clang 19 (Debian 12: apt install "
    "clang-19, then cmake -DCMAKE_CXX_COMPILER=clang++-19) or g++ 13 or newer.")
endif()
