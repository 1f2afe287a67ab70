// Whether a machine that is installed already is installed again.
#include <doctest/doctest.h>

#include "agent/installed.h"

using namespace signet;

namespace {

Disk disk_of(const char* path, const char* host, std::int64_t time, bool complete = true) {
  Disk disk;
  disk.path = path;
  disk.content = DiskContent::signet;
  disk.mark = Mark{};
  disk.mark->host = host;
  disk.mark->time = time;
  disk.mark->complete = complete;
  return disk;
}

std::string paths(const std::vector<Installed>& systems) {
  std::string text;
  for (const auto& each : systems) text += each.disk + " ";
  return text;
}

}  // namespace

TEST_CASE("only complete systems on disks with their own table count, the newest first") {
  auto changed = disk_of("/dev/vdd", "node01", 400);
  changed.content = DiskContent::foreign;
  auto blank = disk_of("/dev/vde", "node01", 500);
  blank.content = DiskContent::blank;
  blank.mark.reset();
  const std::vector<Disk> disks = {disk_of("/dev/vda", "node01", 100), disk_of("/dev/vdb", "node01", 300, false), disk_of("/dev/vdc", "node01", 200),
                                   changed, blank};
  CHECK(paths(installed_systems(disks)) == "/dev/vdc /dev/vda ");
  CHECK(installed_systems(disks).front().describe() == "node01, installed on 1970-01-01 (/dev/vdc)");
}

TEST_CASE("only this host's systems are started: its name, or the name that its profile gives it") {
  Context context;
  context.machine.disks = {disk_of("/dev/vda", "other", 1), disk_of("/dev/vdb", "Node01", 2), disk_of("/dev/vdc", "web.example.org", 3)};
  CHECK(paths(own_systems(context)).empty());  // a node that does not know its name
  context.identity.host_name = "node01";
  context.identity.domain = "example.org";
  CHECK(paths(own_systems(context)) == "/dev/vdb ");
  context.profile.network.hostname = "web.example.org";
  CHECK(paths(own_systems(context)) == "/dev/vdc /dev/vdb ");
}

TEST_CASE("what has changed is known by the digests that both sides have") {
  Mark then;
  Digests now;
  CHECK(what_changed(then, now).empty());
  then.profile_sha256 = "a";
  CHECK(what_changed(then, now).empty());
  now.profile = "b";
  CHECK(what_changed(then, now) == "the profile");
  then.image_sha256 = "c";
  now.image = "d";
  CHECK(what_changed(then, now) == "the profile and the image");
  now.profile = "a";
  CHECK(what_changed(then, now) == "the image");
  now.image = "c";
  CHECK(what_changed(then, now).empty());
}

TEST_CASE("digests tell a changed profile from a changed image, and neither from a changed install rule") {
  Context context;
  const auto changed_since = [&](const Digests& before) {
    Mark mark;
    mark.profile_sha256 = before.profile;
    mark.image_sha256 = before.image;
    return what_changed(mark, digests_of(context));
  };
  context.profile.image.source = "http://server/image.tar.zst";
  context.profile.image.sha256 = "c";
  const auto before = digests_of(context);
  CHECK(before.profile.size() == 64);
  CHECK(before.image == "c");
  context.profile.install = InstallRule::when_changed;
  CHECK(changed_since(before).empty());
  context.profile.image.sha256 = "d";
  CHECK(changed_since(before) == "the image");
  context.profile.image.sha256 = "c";
  context.profile.configure.timezone = "Europe/Berlin";
  CHECK(changed_since(before) == "the profile");
  context.script = "#!/bin/sh\n";
  const auto by_script = digests_of(context);
  context.profile.configure.timezone = "UTC";
  CHECK(changed_since(by_script).empty());
  context.script += "signet-agent plan\n";
  CHECK(changed_since(by_script) == "the profile");
}

TEST_CASE("--install wins over signet.install, and that over the profile; a word that is not known installs nothing") {
  Context context;
  CHECK(install_rule(context) == InstallRule::once);
  context.profile.install = InstallRule::when_changed;
  CHECK(install_rule(context) == InstallRule::when_changed);
  context.machine.command_line = KernelCommandLine::parse("signet.install=always");
  CHECK(install_rule(context) == InstallRule::always);
  context.settings.install = "once";
  CHECK(install_rule(context) == InstallRule::once);
  context.settings.install.clear();
  context.machine.command_line = KernelCommandLine::parse("signet.install=allways");
  CHECK(install_rule(context) == InstallRule::once);
  context.machine.command_line = KernelCommandLine::parse("signet.install");
  CHECK(install_rule(context) == InstallRule::once);
}
