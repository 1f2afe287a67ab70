# CMake toolchain file: the node's static musl world. Builds it first if it is not there.
get_filename_component(SIGNET_TOP ${CMAKE_CURRENT_LIST_DIR} DIRECTORY)
set(SIGNET_SYSROOT ${SIGNET_TOP}/build/sysroot-target)
if(NOT DEFINED ENV{SIGNET_SYSROOT_READY})
  execute_process(COMMAND ${CMAKE_CURRENT_LIST_DIR}/build --flavour target OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)
  set(ENV{SIGNET_SYSROOT_READY} 1)
endif()

set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR x86_64)
set(CMAKE_SYSROOT ${SIGNET_SYSROOT})
set(CMAKE_C_COMPILER ${SIGNET_SYSROOT}/bin/x86_64-linux-musl-cc)
set(CMAKE_CXX_COMPILER ${SIGNET_SYSROOT}/bin/x86_64-linux-musl-c++)
set(CMAKE_AR llvm-ar-19)
set(CMAKE_RANLIB llvm-ranlib-19)
set(CMAKE_STRIP llvm-strip-19)
set(CMAKE_FIND_ROOT_PATH ${SIGNET_SYSROOT})
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
set(ENV{PKG_CONFIG_LIBDIR} ${SIGNET_SYSROOT}/usr/lib/pkgconfig)
set(ENV{PKG_CONFIG_SYSROOT_DIR} ${SIGNET_SYSROOT})

# Stack protector, no uninitialised variable, and libc++'s cheap checks (an index out of bounds traps). Programs are static and
# position-independent: the kernel loads them at a random address, and what relocation has written is read-only afterwards (RELRO, all of it bound at
# the start). Relocations are packed (DT_RELR, which musl reads since 1.2.4); clang compiles for PIE unasked, so the libraries fit.
set(hardening "-fstack-protector-strong -ftrivial-auto-var-init=zero -D_LIBCPP_HARDENING_MODE=_LIBCPP_HARDENING_MODE_FAST")

# Small and the same wherever it is built. Threads get stacks by the size that the program's header asks for (musl's default is 128 KiB).
# Debian's libc++ lies beside the compiler and would be found first; ours is named outright.
set(CMAKE_CXX_FLAGS_INIT "${hardening} -nostdinc++ -isystem ${SIGNET_SYSROOT}/usr/include/c++/v1 -ffunction-sections -fdata-sections -fno-asynchronous-unwind-tables -fno-unwind-tables -ffile-prefix-map=${SIGNET_TOP}=.")
set(CMAKE_CXX_FLAGS_MINSIZEREL "-Oz -DNDEBUG" CACHE STRING "")
set(CMAKE_EXE_LINKER_FLAGS_INIT "-static-pie -Wl,--gc-sections -Wl,--icf=all -Wl,-O2 -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack -Wl,-z,pack-relative-relocs -Wl,-z,stack-size=1048576")
set(CMAKE_CXX_STANDARD_LIBRARIES "-nostdlib++ -lc++ -lc++abi -lc++experimental")
set(SIGNET_TARGET ON)
include(${CMAKE_CURRENT_LIST_DIR}/ccache.cmake)
