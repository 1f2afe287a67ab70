#include "image/image.h"

#include <fcntl.h>

#include <format>

#include "base/fd.h"
#include "base/text.h"
#include "image/decoder_process.h"
#include "image/records.h"
#include "image/tree_writer.h"

namespace signet {
namespace {

// Why writing ended: what feeds the decoder knows best, then the decoder's own death, then what came of it.
std::unexpected<Error> judge(DecoderProcess& decoder, const RecordReader& records, Error own) {
  const bool died = records.broken_off();
  if (died) own = decoder.death();
  if (own.kind() == ErrorKind::no_space)
    return std::unexpected(std::move(own).advise("the target's file systems are too small for this image: give the partition more room"));
  // What the target refuses has nothing to do with the image, of which there may be no end.
  if (own.kind() != ErrorKind::invalid) return std::unexpected(std::move(own));
  if (auto cause = decoder.source_error()) return std::unexpected(std::move(*cause));
  if (own.advice().empty()) own = std::move(own).advise("an image like this is not installed; make it again from a real tree with tar");
  return std::unexpected(std::move(own));
}

}  // namespace

Result<TreeStatistics> write_tree(std::unique_ptr<ByteSource> source, const std::string& root, const TreeOptions& options) {
  TreeWriter writer(TRY(open_file(root, O_RDONLY | O_DIRECTORY)), options);
  const auto decoder = TRY(DecoderProcess::start(*source));
  RecordReader records([&](std::span<std::byte> buffer) { return decoder->read(buffer); });
  if (auto written = write_members(records, writer); !written) return judge(*decoder, records, std::move(written).error());
  if (auto late = decoder->source_error()) return std::unexpected(std::move(*late));
  TRY(writer.finish());
  auto statistics = writer.statistics();
  statistics.filtered = records.filtered();
  return statistics;
}

}  // namespace signet
