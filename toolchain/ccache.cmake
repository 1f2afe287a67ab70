# Included by both toolchain files: a fresh clone compiles nothing that another has compiled.
# Not for CMake's own questions: it learns the compiler's directories from what `-v` prints, and ccache would print another clone's.
find_program(CCACHE ccache)
get_property(in_try_compile GLOBAL PROPERTY IN_TRY_COMPILE)
if(CCACHE AND NOT in_try_compile)
  set(SIGNET_CACHE $ENV{SIGNET_CACHE})
  if(NOT SIGNET_CACHE)
    set(SIGNET_CACHE $ENV{HOME}/.cache/signet)
  endif()
  # The compiler for the node is a script, so its version and not its file tells which compiler it is.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_DIR=${SIGNET_CACHE}/ccache CCACHE_BASEDIR=${SIGNET_TOP} CCACHE_NOHASHDIR=1 CCACHE_MAXSIZE=2G
    "CCACHE_COMPILERCHECK=%compiler% --version" ${CCACHE})
endif()
