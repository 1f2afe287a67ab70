# What every recipe is built with. Sourced by toolchain/build; `flavour`, `sysroot`, `dest` and `work` are set.
# dest/usr gets the result; sysroot holds the results of the recipes before this one.

jobs=$(nproc)
export SOURCE_DATE_EPOCH=1700000000
prefix_map="-ffile-prefix-map=$work=/src -ffile-prefix-map=$cache=/cache"
sections="-ffunction-sections -fdata-sections"
. "$top/toolchain/flags-$flavour.sh"
AR=llvm-ar-19 RANLIB=llvm-ranlib-19 NM=llvm-nm-19 STRIP=llvm-strip-19
export CC AR RANLIB NM STRIP
export PKG_CONFIG_LIBDIR=$sysroot/usr/lib/pkgconfig PKG_CONFIG_SYSROOT_DIR=$sysroot

# source_of NAME: a writable copy of a pinned source in the current directory, named after it.
source_of() {
  local tree
  tree=$("$top/toolchain/fetch" "$1")
  cp -a "$tree" "$work/$1"
}

# pc NAME VERSION CFLAGS LIBS [PRIVATE]: a pkg-config file for a library whose own build makes none, or one that misleads.
pc() {
  mkdir -p "$dest/usr/lib/pkgconfig"
  printf 'prefix=/usr\nlibdir=${prefix}/lib\nincludedir=${prefix}/include\nName: %s\nDescription: %s\nVersion: %s\nCflags: -I${includedir} %s\nLibs: -L${libdir} %s\n' \
    "$1" "$1" "$2" "$3" "$4" >"$dest/usr/lib/pkgconfig/$1.pc"
}
