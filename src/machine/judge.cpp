#include <time.h>

#include <format>

#include "base/text.h"
#include "machine/content.h"

namespace signet {
namespace {

std::string date(std::int64_t seconds) {
  const time_t when = static_cast<time_t>(seconds);
  tm parts{};
  char text[16] = "";
  if (::gmtime_r(&when, &parts)) ::strftime(text, sizeof text, "%Y-%m-%d", &parts);
  return text;
}

std::string text_of(const Mark& mark) {
  const auto host = mark.host.empty() ? std::string("without a host name") : "as " + printable(mark.host);
  return std::format("{} Signet {} {}, {} {} on {}{}", mark.complete ? "a" : "an unfinished", printable(mark.version),
                     mark.complete ? "system" : "install", mark.complete ? "installed" : "begun", host, date(mark.time),
                     mark.keeps_data ? ", with data that it keeps" : "");
}

bool is_ours(const Mark& mark, const Findings& findings) {
  // A file system over the whole disk may leave the mark and a backup of the table standing.
  if (!findings.superblocks.empty()) return false;
  if (findings.table.empty()) return !mark.complete;
  if (findings.table_id.empty()) return false;
  return findings.table_id == mark.table || (!mark.complete && findings.table_id == mark.before);
}

}  // namespace

Content judge(const Findings& findings) {
  std::vector<std::string> found;
  if (!findings.table.empty()) found.push_back(findings.table);
  found.insert(found.end(), findings.superblocks.begin(), findings.superblocks.end());
  found.insert(found.end(), findings.inside.begin(), findings.inside.end());
  if (findings.mark) {
    if (is_ours(*findings.mark, findings)) return {DiskContent::signet, text_of(*findings.mark), findings.mark};
    return {DiskContent::foreign,
            std::format("{}; modified since then: {}", text_of(*findings.mark), found.empty() ? "its partition table is gone" : join(found, ", ")),
            {}};
  }
  if (!found.empty()) return {DiskContent::foreign, join(found, ", "), {}};
  if (!findings.data.empty()) return {DiskContent::foreign, findings.data, {}};
  return {DiskContent::blank, "nothing", {}};
}

}  // namespace signet
