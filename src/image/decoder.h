// The decoder: from the bytes of an image, as they are stored, to records (image/records.h). libarchive's filters (zstd, gzip, xz, none, told by
// magic number) and its tar reader do the work, and this is the only place of the agent where they run: in a process of its own, which has given
// everything up that it does not need (image/confine.h). What it says is checked again by whoever reads its records.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string_view>

#include "base/result.h"
#include "image/records.h"

namespace signet {

/// The hidden verb by which the agent starts itself as a decoder: `signet-agent decode BYTES`, BYTES of memory at most besides the ring.
inline constexpr std::string_view decoder_verb = "decode";
/// The descriptor of its ring (image/ring.h).
inline constexpr int decoder_ring = 3;

/// Exit status of a decoder that had no memory left. libarchive's own (archive_util.c, __archive_errx) is 1.
inline constexpr int out_of_memory_status = 3;
/// Exit status of a decoder that has found no ring.
inline constexpr int no_ring_status = 4;

/// The next bytes of the image; empty at its end.
using Feed = std::function<std::span<const std::byte>()>;

/// Reads `feed` to its end and sends records: members, then an end or an error. False if nobody took the records any more.
bool decode(const Feed& feed, RecordWriter& records);

/// The process: confines itself, decodes standard input into its ring, whose bell is standard output. Returns the exit status.
int run_decoder(int argc, char** argv);

}  // namespace signet
