#include "http_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <format>

namespace signet {

std::string http_response(std::string_view status, std::string_view body, std::string_view headers) {
  return std::format("HTTP/1.1 {}\r\nContent-Length: {}\r\n{}\r\n{}", status, body.size(), headers, body);
}

HttpServer::HttpServer(std::function<Response(const Request&)> answer)
    : answer_(std::move(answer)), listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  if (::bind(listener_.get(), generic, size) != 0 || ::listen(listener_.get(), 16) != 0 || ::getsockname(listener_.get(), generic, &size) != 0)
    std::abort();
  port_ = ntohs(address.sin_port);
  acceptor_ = std::thread([this] { accept_all(); });
}

HttpServer::~HttpServer() {
  {
    const std::scoped_lock lock(mutex_);
    closing_ = true;
    for (const int socket : sockets_) ::shutdown(socket, SHUT_RDWR);
  }
  ::shutdown(listener_.get(), SHUT_RDWR);
  acceptor_.join();
  for (auto& thread : threads_) thread.join();
  for (const int socket : sockets_) ::close(socket);
}

Uri HttpServer::uri(const std::string& path) const { return {"http", std::format("127.0.0.1:{}", port_), path, "", ""}; }

unsigned HttpServer::connections() const {
  const std::scoped_lock lock(mutex_);
  return static_cast<unsigned>(sockets_.size()) + reset_;
}

std::vector<std::string> HttpServer::heads() const {
  const std::scoped_lock lock(mutex_);
  return heads_;
}

void HttpServer::accept_all() {
  for (;;) {
    const int socket = ::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC);
    if (socket < 0) return;
    const std::scoped_lock lock(mutex_);
    sockets_.push_back(socket);
    if (closing_) return;
    threads_.emplace_back([this, socket, connection = static_cast<unsigned>(sockets_.size()) + reset_] { serve(socket, connection); });
  }
}

void HttpServer::serve(int socket, unsigned connection) {
  std::string input;
  for (;;) {
    std::size_t end = 0;
    while ((end = input.find("\r\n\r\n")) == std::string::npos) {
      char buffer[4096];
      const auto got = ::read(socket, buffer, sizeof buffer);
      if (got <= 0) return;
      input.append(buffer, static_cast<std::size_t>(got));
    }
    Request request{0, connection, input.substr(0, end + 4)};
    input.erase(0, end + 4);
    {
      const std::scoped_lock lock(mutex_);
      heads_.push_back(request.head);
      request.number = static_cast<unsigned>(heads_.size());
    }
    const auto response = answer_(request);
    const auto send_all = [&](std::string_view left) {
      while (!left.empty()) {
        const auto sent = ::send(socket, left.data(), response.drip.count() > 0 ? 1 : left.size(), MSG_NOSIGNAL);
        if (sent <= 0) return false;
        sent_ += static_cast<std::uint64_t>(sent);
        left.remove_prefix(static_cast<std::size_t>(sent));
        std::this_thread::sleep_for(response.drip);
      }
      return true;
    };
    if (!send_all(response.bytes)) return;
    if (response.after == Response::After::repeat) {
      const std::string_view all = response.bytes;
      const auto tail = all.substr(all.size() - std::min<std::size_t>(all.size(), 64 << 10));
      while (send_all(tail)) {
      }
      return;
    }
    if (response.after == Response::After::reset) {
      // With no time to linger, close(2) sends a reset (socket(7)).
      const linger now{1, 0};
      ::setsockopt(socket, SOL_SOCKET, SO_LINGER, &now, sizeof now);
      const std::scoped_lock lock(mutex_);
      std::erase(sockets_, socket);
      reset_ += 1;
      ::close(socket);
      return;
    }
    if (response.after == Response::After::close) {
      ::shutdown(socket, SHUT_RDWR);
      return;
    }
    if (response.after == Response::After::hang) {
      char byte = 0;
      (void)::read(socket, &byte, 1);
      return;
    }
  }
}

}  // namespace signet
