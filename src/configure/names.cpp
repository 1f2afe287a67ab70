// Host name and hosts(5).
#include <format>

#include "base/text.h"
#include "configure/steps.h"

namespace signet {

std::string hosts_text(std::string_view existing, std::string_view host_name) {
  const auto short_name = host_name.substr(0, host_name.find('.'));
  const auto own = short_name == host_name ? std::format("127.0.1.1\t{}\n", short_name) : std::format("127.0.1.1\t{} {}\n", host_name, short_name);
  std::string text;
  bool placed = false, localhost = false;
  for (const auto line : split(existing, '\n')) {
    if (line.empty() && text.empty()) continue;
    const auto address = trim(line).substr(0, trim(line).find_first_of(" \t"));
    if (address == "127.0.1.1") {
      if (!placed) text += own;
      placed = true;
      continue;
    }
    text.append(line).append("\n");
    if (address == "127.0.0.1") localhost = true;
  }
  while (text.ends_with("\n\n")) text.pop_back();
  if (!localhost) text = "127.0.0.1\tlocalhost\n" + text;
  if (!placed) {
    const auto after = text.find('\n', text.find("127.0.0.1")) + 1;
    text.insert(after, own);
  }
  return text;
}

Result<> configure_names(const TargetRoot& target, const std::string& host_name) {
  if (host_name.empty()) return {};
  TRY(target.write("/etc/hostname", std::string(host_name.substr(0, host_name.find('.'))) + "\n"));
  const auto hosts = target.read("/etc/hosts");
  TRY(target.write("/etc/hosts", hosts_text(hosts ? *hosts : "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n", host_name)));
  // Debian's mailname(5): the name that mail from here bears.
  return target.exists("/etc/mailname") ? target.write("/etc/mailname", host_name + "\n") : Result<>();
}

}  // namespace signet
