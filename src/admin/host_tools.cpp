#include "admin/host_tools.h"

#include <stdlib.h>

#include <chrono>
#include <filesystem>

#include "base/process.h"

namespace signet {

namespace fs = std::filesystem;

Result<Scratch> Scratch::make() {
  std::string name = (std::getenv("TMPDIR") ? std::string(std::getenv("TMPDIR")) : "/tmp") + "/signet-media-XXXXXX";
  if (!::mkdtemp(name.data())) return fail_errno("make {}", name);
  return Scratch(std::move(name));
}

Scratch::~Scratch() {
  std::error_code ignored;
  if (!path_.empty()) fs::remove_all(path_, ignored);
}

Result<> make_directories(const std::string& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) return fail(ErrorKind::io, "make directory {}: {}", path, error.message());
  return {};
}

Result<> run_tool(std::vector<std::string> arguments, const char* package) {
  const auto name = arguments.front();
  std::vector<std::string> environment = {"MTOOLS_SKIP_CHECK=1"};
  if (!std::getenv("SOURCE_DATE_EPOCH")) environment.emplace_back("SOURCE_DATE_EPOCH=946684800");
  auto ran = run_checked({.arguments = std::move(arguments), .environment = std::move(environment), .time_limit = std::chrono::minutes(10)});
  if (ran) return {};
  if (ran.error().kind() == ErrorKind::not_found)
    return std::unexpected(Error(ErrorKind::not_found, name + " is not installed").advise(std::string("install Debian's package ") + package));
  return std::unexpected(std::move(ran).error());
}

}  // namespace signet
