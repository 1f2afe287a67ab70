// Any bytes are a profile or a list of mistakes, in bounded time; what is accepted can be written and is then read back to the same.
//
// The input is a profile and the files that it may extend, parted by lines of "%%"; the reference N stands for the file N of the input.
#include <string>
#include <string_view>
#include <vector>

#include "base/text.h"
#include "hold.h"
#include "profile/profile.h"

using namespace signet;

namespace {

std::vector<std::string_view> files_of(std::string_view input) {
  constexpr std::string_view divider = "\n%%\n";
  std::vector<std::string_view> files;
  for (;;) {
    const auto at = input.find(divider);
    files.push_back(input.substr(0, at));
    if (at == std::string_view::npos) return files;
    input.remove_prefix(at + divider.size());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const auto files = files_of(input);
  const Uri where{.scheme = "http", .authority = "server", .path = "/hosts/0", .query = {}, .user_info = {}};
  const auto load = [&](const Uri& uri) -> Result<std::string> {
    const auto number = parse_unsigned(uri.path.substr(uri.path.rfind('/') + 1));
    if (!number || *number >= files.size()) return fail(ErrorKind::not_found, "{}: not there", uri.display());
    return std::string(files[*number]);
  };
  for (const auto completeness : {Completeness::whole, Completeness::partial}) {
    const auto profile = parse_profile(files.front(), where, load, completeness);
    if (!profile) {
      hold(!profile.error().empty());
      hold(printable(to_error(profile.error()).message()).size() >= profile.error().front().message.size() || profile.error().size() > 1);
      continue;
    }
    const auto text = to_toml(*profile);
    const auto again = parse_profile(text, where, load, completeness);
    hold(again.has_value());
    hold(to_toml(*again) == text);
  }
  const auto partition = parse_partition_flag(input);
  const auto match = parse_match_flag(input);
  hold(partition || !partition.error().message().empty());
  hold(match || !match.error().message().empty());
  return 0;
}
