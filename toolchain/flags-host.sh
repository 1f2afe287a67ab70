# How recipes are compiled for the unit tests. Sourced by flags.sh.
# In the compiler's name, so that it links with the sanitizer too.
CC="clang-19 -fsanitize=address"
small="-O1 -g $prefix_map -fno-omit-frame-pointer -I$sysroot/usr/include -L$sysroot/usr/lib"
fast=$small
host=x86_64-linux-gnu
# Programs that a build makes for itself may leak.
export ASAN_OPTIONS=detect_leaks=0
