# CMake toolchain file: this machine, the same compiler, with AddressSanitizer and UBSan in our code and AddressSanitizer in the libraries.
get_filename_component(SIGNET_TOP ${CMAKE_CURRENT_LIST_DIR} DIRECTORY)
set(SIGNET_SYSROOT ${SIGNET_TOP}/build/sysroot-host)
if(NOT DEFINED ENV{SIGNET_SYSROOT_READY})
  execute_process(COMMAND ${CMAKE_CURRENT_LIST_DIR}/build --flavour host OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)
  set(ENV{SIGNET_SYSROOT_READY} 1)
endif()

set(CMAKE_C_COMPILER clang-19)
set(CMAKE_CXX_COMPILER clang++-19)
set(ENV{PKG_CONFIG_LIBDIR} ${SIGNET_SYSROOT}/usr/lib/pkgconfig)
set(ENV{PKG_CONFIG_SYSROOT_DIR} ${SIGNET_SYSROOT})
# Not optimized: compiling takes half the time, and it is most of what a first run of the tests takes.
set(CMAKE_CXX_FLAGS_INIT "-stdlib=libc++ -gline-tables-only -O0 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined")
set(CMAKE_EXE_LINKER_FLAGS_INIT "-stdlib=libc++ -fuse-ld=lld -fsanitize=address,undefined")

include(${CMAKE_CURRENT_LIST_DIR}/ccache.cmake)
