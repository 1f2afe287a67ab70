// Any bytes are a boot stub from --parts or an error; what is made of one has the stub's bytes and all four sections.
#include "admin/unified_kernel.h"
#include "hold.h"

using namespace signet;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view stub(reinterpret_cast<const char*>(data), size);
  const auto made =
      make_unified_kernel({.stub = stub, .kernel = "the kernel", .initrd = "the initrd", .command_line = "quiet", .os_release = "NAME=Signet\n"});
  if (!made) {
    hold(!made.error().message().empty());
    return 0;
  }
  hold(made->size() > stub.size());
  for (const std::string_view part : {"the kernel", "the initrd", "quiet", "NAME=Signet\n", ".osrel", ".cmdline", ".initrd", ".linux"})
    hold(made->contains(part));
  return 0;
}
