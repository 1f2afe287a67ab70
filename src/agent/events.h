// Events to a server, as they come.
#pragma once

#include <memory>

#include "agent/context.h"
#include "base/uri.h"
#include "fetch/fetch.h"
#include "report/report.h"

namespace signet {

/// Posts events to `uri` as JSON lines (application/x-ndjson), in batches of a second, from a thread of its own. A server that is away loses the
/// oldest once 2000 wait; it never holds up an install. When the sink goes, what waits is sent in one last request of at most 5 s.
std::unique_ptr<Sink> http_sink(const Uri& uri, const FetchOptions& options, const Report& report);

/// Sends events where settings say, besides the console: signet.syslog=HOST[:PORT], signet.report (to the server) or signet.report=URL.
void start_reporting(Context& context);

}  // namespace signet
