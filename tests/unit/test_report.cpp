#include <doctest/doctest.h>

#include "report/report.h"

using namespace signet;

namespace {

// Keeps what it is given.
class Kept : public Sink {
 public:
  explicit Kept(std::vector<Event>& events) : events_(events) {}
  void take(const Event& event) override { events_.push_back(event); }

 private:
  std::vector<Event>& events_;
};

}  // namespace

TEST_CASE("stages become events and a timeline") {
  Report report;
  std::vector<Event> events;
  report.add(std::make_unique<Kept>(events));
  report.start("pull");
  for (int i = 0; i < 1000; ++i) report.progress(static_cast<std::uint64_t>(i), 1000);
  report.done("ok");
  report.start("configure");
  report.failed(Error(ErrorKind::not_found, "no /etc").advise("look"));
  REQUIRE(events.size() >= 5);
  CHECK(events.size() < 50);  // progress is thinned out
  CHECK(events.back().type == Event::Type::failed);
  CHECK(events.back().kind == "not-found");
  const auto timeline = report.timeline();
  REQUIRE(timeline.size() == 2);
  CHECK(timeline[0].bytes == 999);
  CHECK(timeline[1].failed);
  CHECK(timeline_text(timeline).contains("configure"));
}

TEST_CASE("an event is one line of JSON whatever is in it") {
  Event event;
  event.stage = "pull";
  event.message = "first \"line\"\nsecond \x1b[31m \xff";
  event.type = Event::Type::failed;
  event.bytes = 1ULL << 40;
  const auto line = to_json(event, "node01", "id");
  CHECK_FALSE(line.contains('\n'));
  CHECK(line.contains(R"("message":"first \"line\"\nsecond \\x1b[31m \\xff")"));
  CHECK(line.contains(R"("bytes":1099511627776)"));
  CHECK(line.contains(R"("time":"1970-01-01T00:00:00.000Z")"));
}
