// Lines for people: one line when a stage starts or ends, progress redrawn in place where the cursor can move, and as a new line now and then
// where it cannot or where a log is kept (a serial line).
#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <format>

#include "base/fd.h"
#include "base/size.h"
#include "base/text.h"
#include "report/report.h"

namespace signet {
namespace {

// How a console shows progress.
enum class Style {
  redraw,  // a screen: the line is drawn again in place
  lines,   // a serial line, a file, a pipe: every few seconds one more line
};

struct Console {
  Fd fd;
  std::string path;  // empty: not ours to open again
  Style style = Style::lines;
  bool colour = false;
  unsigned width = 80;
  std::string drawn;     // the progress line that stands there now (redraw)
  bool stuck = false;    // took nothing for as long as we have patience
  double last_line = 0;  // uptime of the last progress line (lines)
};

constexpr double line_interval = 5;     // seconds between progress lines on a serial console
constexpr int patience_ms = 5000;       // for a console that takes no more
constexpr double first_line_after = 2;  // a stage shorter than this needs no progress line

Console open_console(Fd fd, std::string_view path) {
  Console console;
  console.fd = std::move(fd);
  console.path = path;
  if (!::isatty(console.fd.get())) return console;
  winsize size{};
  if (::ioctl(console.fd.get(), TIOCGWINSZ, &size) == 0 && size.ws_col >= 40) console.width = size.ws_col;
  // Serial and hypervisor consoles are read in logs as often as on screens.
  const bool screen = path.empty() || (path.starts_with("/dev/tty") && path.size() > 8 && path[8] >= '0' && path[8] <= '9');
  if (screen) console.style = Style::redraw;
  const char* term = std::getenv("TERM");
  console.colour = screen && !std::getenv("NO_COLOR") && term && std::string_view(term) != "dumb";
  return console;
}

std::string bar(std::uint64_t bytes, std::uint64_t total) {
  constexpr unsigned cells = 20;
  const auto filled =
      static_cast<unsigned>(static_cast<double>(std::min(bytes, total)) / static_cast<double>(std::max<std::uint64_t>(total, 1)) * cells);
  return "[" + std::string(filled, '#') + std::string(cells - filled, '.') + "]";
}

std::string clock(double seconds) {
  const auto whole = std::lround(seconds);
  return whole < 60 ? std::format("{} s", whole) : std::format("{}:{:02} min", whole / 60, whole % 60);
}

// "[####....] 41%  52.1 MiB of 127 MiB  18.2 MiB/s  4 s left  message"
std::string progress_text(const Event& event) {
  std::string text;
  const auto bytes = event.bytes.value_or(0);
  if (event.total && *event.total > 0) {
    const double part = static_cast<double>(std::min(bytes, *event.total)) / static_cast<double>(*event.total);
    text = std::format("{} {:>3}%  {} of {}", bar(bytes, *event.total), static_cast<unsigned>(part * 100), format_size(bytes),
                       format_size(*event.total));
    if (event.seconds > 0.5 && bytes > 0) {
      const double rate = static_cast<double>(bytes) / event.seconds;
      text += std::format("  {}/s  {} left", format_size(static_cast<std::uint64_t>(rate)),
                          clock(static_cast<double>(*event.total - std::min(bytes, *event.total)) / rate));
    }
  } else if (bytes > 0) {
    text = format_size(bytes);
  }
  if (!event.message.empty()) text += (text.empty() ? "" : "  ") + event.message;
  return text;
}

// A serial line takes 11 KB a second at best; whoever needs more reads the file of events.
constexpr std::size_t longest_line = 500, longest_message = 16 * 1024;  // bytes

// `text` with every line after the first indented to stand below it.
std::string indented(std::string_view text, std::string_view indent) {
  std::string out;
  for (const auto line : split(text, '\n')) {
    if (!out.empty()) out.append("\n").append(indent);
    out += shorten(printable(line), longest_line);
    if (out.size() > longest_message) return shorten(out, longest_message) + ", kept in events.jsonl";
  }
  return out;
}

class Consoles : public Sink {
 public:
  explicit Consoles(std::vector<Console> consoles) : consoles_(std::move(consoles)) {}
  ~Consoles() override {
    for (auto& console : consoles_) clear(console);
  }

  void take(const Event& event) override {
    const std::string stamp = std::format("{:7.2f} {:<9} ", event.uptime, event.stage);
    const std::string indent(stamp.size(), ' ');
    switch (event.type) {
      case Event::Type::start:
        for (auto& console : consoles_) console.last_line = event.uptime + first_line_after - line_interval;
        if (!event.message.empty()) line(stamp + indented(event.message, indent));
        break;
      case Event::Type::log: line(stamp + indented(event.message, indent)); break;
      case Event::Type::done:
        line(std::format("{}{}{}", stamp, event.message.empty() ? "done" : indented(event.message, indent),
                         event.seconds >= 0.05 ? std::format("  ({:.1f} s)", event.seconds) : ""));
        break;
      case Event::Type::failed: failed(event, stamp, indent); break;
      case Event::Type::progress: progress(event, stamp); break;
    }
  }

 private:
  // A console that hangs (flow control on a dead serial line) must not hang the install: it gets a bounded time, then what it missed is dropped.
  static void put(Console& console, std::string_view text) {
    bool opened_again = false;
    while (!text.empty()) {
      const ssize_t written = ::write(console.fd.get(), text.data(), text.size());
      if (written > 0) {
        text.remove_prefix(static_cast<std::size_t>(written));
        continue;
      }
      if (written < 0 && errno == EINTR) continue;
      // A shell that ends hangs its terminal up, and with it everybody who has it open (tty_ioctl(4), TIOCNOTTY).
      if (written < 0 && errno == EIO && !console.path.empty() && !opened_again) {
        opened_again = true;
        if (auto fd = open_file(console.path, O_WRONLY | O_NOCTTY | O_NONBLOCK)) console.fd = std::move(*fd);
        continue;
      }
      pollfd ready{console.fd.get(), POLLOUT, 0};
      if (written < 0 && errno != EAGAIN) return;
      if (console.stuck || ::poll(&ready, 1, patience_ms) <= 0) {
        console.stuck = true;
        return;
      }
    }
    console.stuck = false;
  }

  static void clear(Console& console) {
    if (console.drawn.empty()) return;
    put(console, "\r\033[K");
    console.drawn.clear();
  }

  void line(std::string_view text, std::string_view colour = {}) {
    for (auto& console : consoles_) {
      clear(console);
      std::string out;
      const bool coloured = console.colour && !colour.empty();
      if (coloured) out += colour;
      out += text;
      if (coloured) out += "\033[0m";
      put(console, out += "\n");
    }
  }

  void failed(const Event& event, const std::string& stamp, const std::string& indent) {
    line(std::format("{}FAILED: {}", stamp, indented(event.message, indent)), "\033[1;31m");
    if (!event.advice.empty()) line(indent + "What to do: " + indented(event.advice, indent), "\033[1m");
  }

  void progress(const Event& event, const std::string& stamp) {
    const std::string text = stamp + shorten(printable(progress_text(event)), longest_line);
    for (auto& console : consoles_) {
      if (console.style == Style::redraw) {
        const std::string shown = text.substr(0, console.width - 1);
        if (shown == console.drawn) continue;
        put(console, "\r" + shown + "\033[K");
        console.drawn = shown;
      } else if (event.uptime - console.last_line >= line_interval) {
        put(console, text + "\n");
        console.last_line = event.uptime;
      }
    }
  }

  std::vector<Console> consoles_;
};

}  // namespace

std::unique_ptr<Sink> console_sink(const std::vector<std::string>& paths) {
  std::vector<Console> consoles;
  for (const auto& path : paths) {
    if (auto fd = open_file(path, O_WRONLY | O_NOCTTY | O_NONBLOCK)) consoles.push_back(open_console(std::move(*fd), path));
  }
  if (consoles.empty()) consoles.push_back(open_console(Fd(::dup(2)), ""));
  return std::make_unique<Consoles>(std::move(consoles));
}

}  // namespace signet
