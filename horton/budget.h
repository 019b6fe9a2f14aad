// How many requests the service allows: `1/s,25/d`, `75/min`, `unlimited`. The count is a document, so it is shared by all workers of
// the documents, survives restarts, and is exact over sliding windows: a request goes when the N-th last one is a whole window ago.
#pragma once

#include <atomic>
#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "horton/documents.h"
#include "mephisto/time.h"

namespace horton {

struct RateTerm {
  int count = 0;
  std::chrono::milliseconds window{};
  std::string text;  // as given: `25/d`
};

// kInvalid says what is wrong. `unlimited` has no terms.
mephisto::Result<std::vector<RateTerm>> parse_rate(std::string_view text);

// Shared by the shards of a worker.
class Budget {
 public:
  Budget(Collection collection, std::vector<RateTerm> terms) : collection_(std::move(collection)), terms_(std::move(terms)) {}

  // What everybody waits at the first notice when unlimited, and when the service cannot be reached.
  static constexpr std::chrono::milliseconds kFirstPause{1000};

  bool unlimited() const { return terms_.empty(); }
  // Takes one request, waiting until the terms allow it, and gives the time at which it may go. Logs until when it waits, once for all
  // who do. An event that waits is given back when its worker stops.
  mephisto::Task<mephisto::Microtime> acquire();
  // The service said "too many" all the same, to a request that went at `asked` (none: just now): nobody asks before the wait is over.
  // Waits grow while the notices go on: from 1 s up when unlimited, else from the shortest term's window to the longest. Notices to
  // requests that were on their way when the wait began are one with the first.
  mephisto::Task<void> notice(std::optional<mephisto::Microtime> asked = std::nullopt);
  // The request that was to go at `asked` never reached the service: it is given back, and nobody asks before the wait is over. Waits
  // grow from 1 s to 1 min while this goes on. `why` is for the log.
  mephisto::Task<void> unreachable(mephisto::Microtime asked, const std::string& why);
  // A request was answered.
  void answered() { notices_ = outages_ = 0; }

  struct Use {
    RateTerm term;
    int used = 0;
    std::optional<mephisto::Timestamp> free_at;  // when it is spent
  };
  mephisto::Task<std::vector<Use>> use();
  struct Pause {
    mephisto::Timestamp until;
    bool unreachable = false;  // otherwise because of a notice
  };
  // The pause that everybody makes now.
  mephisto::Task<std::optional<Pause>> pause();

 private:
  Collection collection_;
  std::vector<RateTerm> terms_;
  std::atomic<int> notices_ = 0;                // in a row
  std::atomic<int> outages_ = 0;                // in a row
  std::atomic<std::int64_t> logged_until_ = 0;  // the wait that was logged last
};

}  // namespace horton
