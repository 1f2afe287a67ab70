# How recipes are compiled for the node. Sourced by flags.sh.
CC=$sysroot/bin/x86_64-linux-musl-cc
small="-Os $sections $prefix_map -fno-asynchronous-unwind-tables -fno-unwind-tables"
fast="-O2 $sections $prefix_map -fno-asynchronous-unwind-tables -fno-unwind-tables"
host=x86_64-linux-musl
