// Any bytes are a plan.json or an error that fits a console; a plan that is read says the same when it is written and read again.
#include "hold.h"
#include "plan/plan.h"

using namespace signet;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto plan = plan_from_json({reinterpret_cast<const char*>(data), size});
  if (!plan) {
    hold(!plan.error().message().empty());
    return 0;
  }
  const auto text = to_json(*plan);
  const auto again = plan_from_json(text);
  hold(again.has_value() && to_json(*again) == text);
  for (const auto& planned : plan->disks)
    for (const auto& partition : planned.partitions) {
      hold(partition.start <= planned.disk.size && partition.size <= planned.disk.size - partition.start);
      hold(partition.number > 0);
    }
  hold(!plan->text().empty());
  (void)plan->mounts();
  return 0;
}
