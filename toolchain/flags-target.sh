# How recipes are compiled for the node. Sourced by flags.sh.
CC=$sysroot/bin/x86_64-linux-musl-cc
safe="-fstack-protector-strong $sections $prefix_map -fno-asynchronous-unwind-tables -fno-unwind-tables"
small="-Oz $safe"
fast="-O2 $safe"
host=x86_64-linux-musl
