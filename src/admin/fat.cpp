#include "admin/fat.h"

#include "admin/host_tools.h"
#include "base/fd.h"

namespace signet {

Result<> make_fat(const std::string& image, std::uint64_t size, const std::string& label,
                  const std::vector<std::pair<std::string, std::string>>& files) {
  TRY(write_file(image, {}));
  TRY(run_tool({"mformat", "-C", "-i", image, "-T", std::to_string(size / 512), "-h", "16", "-s", "63", "-v", label, "-N", "51c00001", "::"},
               "mtools"));
  for (const auto& [to, from] : files) {
    for (auto slash = to.find('/', 1); slash != std::string::npos; slash = to.find('/', slash + 1))
      if (auto made = run_tool({"mmd", "-D", "s", "-i", image, "::" + to.substr(0, slash)}, "mtools"); !made && !to.substr(0, slash).empty()) {
        // It is there already when an earlier file needed it.
        if (made.error().kind() == ErrorKind::not_found) return made;
      }
    TRY(run_tool({"mcopy", "-o", "-i", image, from, "::" + to}, "mtools"));
  }
  return {};
}

}  // namespace signet
