#include <doctest/doctest.h>

#include <stdlib.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"
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

TEST_CASE("an event hides what URIs hide and has an end") {
  Report report;
  std::vector<Event> events;
  report.add(std::make_unique<Kept>(events));
  report.log("image http://deploy:S3cret@server/x?token=S3cret");
  report.log(std::string(1'000'000, 'k'));
  report.start("pull", "http://deploy:S3cret@server/");
  report.failed(Error(ErrorKind::network, "http://deploy:S3cret@server/x: broke " + std::string(1'000'000, 'k')).advise("ask http://a:S3cret@b/"));
  REQUIRE(events.size() == 4);
  for (const auto& event : events) {
    const auto line = to_json(event, "node01", "id");
    CHECK_FALSE(line.contains("S3cret"));
    CHECK(line.size() < 70'000);
  }
  CHECK(events[0].message == "image http://server/x?token=…");
  CHECK(events[1].message.ends_with("… (934464 bytes more)"));
}

TEST_CASE("a console shows so much of a long message and no more") {
  char name[] = "/tmp/signet-test-XXXXXX";
  REQUIRE(::mkdtemp(name));
  const auto path = std::string(name) + "/console";
  REQUIRE(write_file(path, ""));
  {
    Report report;
    report.add(console_sink({path}));
    report.log(std::string(60'000, 'k'));
    std::string lines;
    for (int i = 0; i < 6'000; ++i) lines += "a line\n";
    report.log(lines);
  }
  const auto shown = read_file(path).value();
  CHECK(shown.size() < 20'000);
  CHECK(shown.contains("bytes more"));
  CHECK(shown.contains("kept in events.jsonl"));
  std::size_t longest = 0;
  for (const auto line : split(shown, '\n')) longest = std::max(longest, line.size());
  CHECK(longest < 600);
  ::unlink(path.c_str());
  ::rmdir(name);
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
