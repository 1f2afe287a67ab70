// An HTTP/1.1 server on loopback that answers exactly what a test tells it to, and breaks off, hangs or lies where that is the point.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/fd.h"
#include "base/uri.h"

namespace signet {

struct Request {
  unsigned number = 0;      // of this request, from 1
  unsigned connection = 0;  // that it came by, from 1
  std::string head;         // request line and headers, with their line ends
};

struct Response {
  enum class After { keep, close, hang, reset, repeat };
  std::string bytes;                  // as they go over the wire, status line and all
  After after = After::keep;          // hang: sends no more, and waits until the peer has gone; repeat: sends the last 64 KiB again and again
  std::chrono::milliseconds drip{0};  // after each byte
};

class HttpServer {
 public:
  explicit HttpServer(std::function<Response(const Request&)> answer);
  ~HttpServer();

  Uri uri(const std::string& path = "/image") const;
  unsigned connections() const;
  /// Bytes sent by all answers that are over.
  std::uint64_t sent() const { return sent_; }
  std::vector<std::string> heads() const;

 private:
  void accept_all();
  void serve(int socket, unsigned connection);

  std::function<Response(const Request&)> answer_;
  Fd listener_;
  unsigned port_ = 0;
  mutable std::mutex mutex_;
  bool closing_ = false;
  unsigned reset_ = 0;  // connections that are closed already
  std::atomic<std::uint64_t> sent_ = 0;
  std::vector<int> sockets_;
  std::vector<std::string> heads_;
  std::vector<std::thread> threads_;
  std::thread acceptor_;
};

/// A whole response with Content-Length, and more headers if they are given ("ETag: \"x\"\r\n").
std::string http_response(std::string_view status, std::string_view body, std::string_view headers = {});

}  // namespace signet
