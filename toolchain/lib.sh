# Shared by the scripts of toolchain/, kernel-config/, initrd/ and qemu/: where things are cached, how a key is made, how one complains.
# To be sourced by bash; the sourcing script has `set -euo pipefail`.

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
cache=${SIGNET_CACHE:-$HOME/.cache/signet}
export LC_ALL=C TZ=UTC

# die MESSAGE…: what, where, why, what to do; on standard error.
die() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit 1
}

say() { printf '%s\n' "$*" >&2; }

# key_of TEXT…: 16 hex digits that stand for all of it.
key_of() { printf '%s\n' "$@" | sha256sum | cut -c1-16; }

# with_lock NAME COMMAND…: one at a time on this cache, so two builds can share it.
with_lock() {
  local name=$1
  shift
  mkdir -p "$cache/locks"
  flock "$cache/locks/$name" "$@"
}

# lock_of NAME: the lines of sources.lock for a source package.
lock_of() { awk -v name="$1" '$1 == name' "$top/toolchain/sources.lock"; }

# compiler_version: of what builds for the node; part of every key.
compiler_version() { clang-19 --version | head -n 1; }

# The host's own Debian mirrors, one a line as "URI SECURITY" where SECURITY is 1 for the security archive. Both of apt's formats are read.
host_mirrors() {
  apt-get indextargets --format '$(SITE) $(REPO_URI) $(COMPONENT) $(ORIGIN) $(SUITE) $(CODENAME)' 2>/dev/null |
    awk '$3 == "main" && /Debian/ { print $2, ($2 ~ /security/) }' | sort -u
}

# private_apt SUITE TYPE [COMPONENTS]: makes a private apt directory for a Debian suite (deb or deb-src; main) and sets the array `apt` to the options that use
# it. The host's own apt set-up is read for its mirror, never changed.
private_apt() {
  local suite=$1 type=$2 components=${3:-main} uri security found=
  local dir=$cache/apt/$suite-$type${3:+-${3// /-}}
  mkdir -p "$dir"/{state/lists/partial,cache/archives/partial}
  exec 9>"$dir/lock"
  flock 9
  : >"$dir/sources.list.new"
  while read -r uri security; do
    found=1
    if [ "$security" = 1 ]; then
      # A pin must stay fetchable; the security archive drops a source when the next one comes, and the point releases take its fixes in.
      [ "$type" = deb-src ] || echo "$type [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $uri $suite-security $components"
    else
      echo "$type [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $uri $suite $components"
      echo "$type [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $uri $suite-updates $components"
    fi
  done < <(host_mirrors) >>"$dir/sources.list.new"
  [ -n "$found" ] || die "no Debian mirror found in the host's apt sources; run 'apt-get update' once"
  mv "$dir/sources.list.new" "$dir/sources.list"
  apt=(-o "Dir::Etc::sourcelist=$dir/sources.list" -o "Dir::Etc::sourceparts=/dev/null" -o "Dir::State=$dir/state" -o "Dir::Cache=$dir/cache"
    -o "APT::Sandbox::User=root" -o "APT::Get::List-Cleanup=0" -o "Acquire::Languages=none" -q)
  # Lists of an hour ago are good enough; without any, or if the hour is over, they are fetched.
  if [ -z "$(find "$dir/state/lists" -maxdepth 1 -name '*Release' -mmin -60 2>/dev/null)" ]; then
    apt-get "${apt[@]}" update >"$dir/update.log" 2>&1 || die "cannot read Debian $suite's package lists: $(tail -n 2 "$dir/update.log" | tr '\n' ' ')"
    find "$dir/state/lists" -maxdepth 1 -name '*Release' -exec touch {} +
  fi
  exec 9>&-
}
