// Events to a syslog server: RFC 5424 messages, one a datagram (RFC 5426).
#include <netdb.h>
#include <sys/socket.h>

#include <chrono>
#include <format>
#include <memory>

#include "base/fd.h"
#include "base/text.h"
#include "report/report.h"

namespace signet {
namespace {

constexpr int facility = 16;  // local0
constexpr int error = 3, notice = 5, info = 6;

class SyslogSink : public Sink {
 public:
  SyslogSink(Fd socket, const Report& report) : socket_(std::move(socket)), report_(report) {}

  void take(const Event& event) override {
    if (event.type == Event::Type::progress) return;
    const bool failed = event.type == Event::Type::failed;
    const int severity = failed ? error : event.type == Event::Type::log ? info : notice;
    auto text = event.stage + " " + std::string(to_string(event.type));
    if (!event.message.empty()) text += ": " + event.message;
    if (failed && !event.advice.empty()) text += " What to do: " + event.advice;
    const auto host = report_.host().empty() ? std::string("-") : report_.host();
    for (const auto line : split(text, '\n')) {
      const auto message = std::format("<{}>1 {:%FT%TZ} {} signet-agent - - - {}", facility * 8 + severity,
                                       std::chrono::floor<std::chrono::milliseconds>(event.time), host, printable(line));
      // Datagrams: a server that is away costs nothing.
      [[maybe_unused]] const auto sent = ::send(socket_.get(), message.data(), message.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    }
  }

 private:
  Fd socket_;
  const Report& report_;
};

}  // namespace

Result<std::unique_ptr<Sink>> syslog_sink(std::string_view server, const Report& report) {
  std::string host(server), port = "514";
  if (host.starts_with('[') && host.contains(']')) {
    const auto end = host.find(']');
    if (host.size() > end + 2 && host[end + 1] == ':') port = host.substr(end + 2);
    host = host.substr(1, end - 1);
  } else if (const auto colon = host.find(':'); colon != std::string::npos && host.find(':', colon + 1) == std::string::npos) {
    port = host.substr(colon + 1);
    host.resize(colon);
  }
  addrinfo hints{};
  hints.ai_socktype = SOCK_DGRAM;
  addrinfo* found = nullptr;
  if (const int code = ::getaddrinfo(host.c_str(), port.c_str(), &hints, &found); code != 0)
    return fail(ErrorKind::network, "syslog server {}: {}", printable(server), ::gai_strerror(code));
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> list(found, ::freeaddrinfo);
  Fd socket(::socket(list->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket || ::connect(socket.get(), list->ai_addr, list->ai_addrlen) != 0) return fail_errno("syslog server {}", printable(server));
  return std::make_unique<SyslogSink>(std::move(socket), report);
}

}  // namespace signet
