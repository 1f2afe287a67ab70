// The Content-Range header of a hostile server: whatever is accepted is a range within its whole.
#include <cstdlib>
#include <string_view>

#include "fetch/content_range.h"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  const auto range = signet::parse_content_range({reinterpret_cast<const char*>(data), size});
  if (range && (range->last < range->first || (range->whole && range->last >= *range->whole))) std::abort();
  return 0;
}
