#include "machine/settings.h"

#include <doctest/doctest.h>

#include "agent/stages.h"
#include "base/duration.h"
#include "base/text.h"
#include "machine/machine.h"
#include "profile/words.h"

namespace signet {
namespace {

std::string first_mistake(std::string_view line) {
  const auto mistakes = mistakes_in(KernelCommandLine::parse(line));
  return mistakes.empty() ? "" : mistakes.front();
}

TEST_CASE("an unknown setting or value is reported with the nearest right one") {
  CHECK(first_mistake("quiet signet.retrys=3") == "signet.retrys: unknown setting; did you mean signet.retries?");
  CHECK(
      first_mistake("signet.on_failure=rebot").ends_with("`rebot` is not one of reboot, poweroff, halt, kexec, shell, beep; did you mean `reboot`?"));
  CHECK(first_mistake("signet.break=plan,partitoin").contains("did you mean `partition`?"));
  CHECK(first_mistake("signet.retries=many").contains("`many` is not a whole number"));
  CHECK(first_mistake("signet.deadline=soon").contains("`soon` is not a time"));
  CHECK(first_mistake("signet.shell=nein").ends_with("`nein` is not one of yes, no"));
  CHECK(first_mistake("signet.network=dhcp4") == "signet.network: unknown setting; write ip=");
  CHECK(first_mistake("signet.\x1b[31m=1").contains("[31m: unknown setting"));
  CHECK(first_mistake("signet.retries=3 signet.on-failure=reboot signet.on_success=halt signet.rescue signet.shell=no signet.deadline=2h "
                      "signet.break=plan,finish signet.report other.retrys=1 signet=1")
            .empty());
  CHECK(mistakes_in(KernelCommandLine::parse("signet.a=1 signet.b=2")).size() == 2);
}

TEST_CASE("the words of settings are those of stages and finish actions") {
  std::string names;
  for (const auto& stage : stages()) names.append(names.empty() ? "" : " ").append(stage.name);
  CHECK(find_setting("break")->words == names + " local");
  std::string actions;
  for (const auto& [word, value] : action_words) actions.append(actions.empty() ? "" : " ").append(word);
  CHECK(find_setting("on-success")->words == actions);
  CHECK(find_setting("on-failure")->words == actions);
}

TEST_CASE("local.cfg refuses a value that its setting does not take") {
  const auto config = parse_local_config("retries = \"often\"\non-failure = \"rebot\"\nrescue = true\n", "local.cfg");
  REQUIRE_FALSE(config);
  CHECK(config.error().message().contains("`often` is not a whole number"));
  CHECK(config.error().message().contains("did you mean `reboot`?"));
}

TEST_CASE("who may get a shell") {
  struct Case {
    const char* line;
    const char* local;
    bool locked;
    bool allowed;
  };
  constexpr Case cases[] = {
      {"", "", false, true},
      {"signet.shell=no", "", false, false},
      {"signet.shell=nein", "", false, false},
      {"", "shell = false", false, false},
      {"signet.shell=yes", "shell = false", false, true},
      {"", "", true, false},
      {"", "shell = true", true, false},  // a stick is not signed
      {"signet.shell", "", true, true},
  };
  for (const auto& each : cases) {
    CAPTURE(each.line);
    CAPTURE(each.local);
    Machine machine;
    machine.command_line = KernelCommandLine::parse(each.line);
    machine.locked_down = each.locked;
    machine.local = parse_local_config(each.local, "local.cfg on /dev/sda3").value();
    CHECK(machine.shells_allowed() == each.allowed);
  }
}

TEST_CASE("a time is a number with a unit") {
  using std::chrono::seconds;
  CHECK(parse_duration("90") == seconds(90));
  CHECK(parse_duration("90s") == seconds(90));
  CHECK(parse_duration("30min") == seconds(1800));
  CHECK(parse_duration("12h") == seconds(43200));
  CHECK(parse_duration("2d") == seconds(172800));
  for (const char* wrong : {"", "s", "-1", "1.5h", "1 h", "1w", "h1", "99999999999999999999", "4000d"}) CHECK_FALSE(parse_duration(wrong));
  CHECK(format_duration(seconds(1800)) == "30min");
  CHECK(format_duration(seconds(90)) == "90s");
  CHECK(format_duration(seconds(0)) == "0s");
}

}  // namespace
}  // namespace signet
