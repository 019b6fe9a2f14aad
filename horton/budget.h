// How many requests the service allows: `1/s,25/d`, `75/min`, `unlimited`. The count is a document, so all workers that
// use the same documents share it and it survives restarts. It is exact over sliding windows: a request goes when the
// N-th last one is a whole window ago. The document also holds what the workers know of the service: until when nobody
// asks it, and why.
#pragma once

#include <atomic>
#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "horton/documents.h"
#include "mephisto/loop.h"
#include "mephisto/base/time.h"

namespace horton {

struct RateTerm {
  int count = 0;
  std::chrono::milliseconds window{};
  std::string text;  // as given: `25/d`
};

// kInvalid says what is wrong. `unlimited` has no terms.
mephisto::Result<std::vector<RateTerm>> parse_rate(std::string_view text);

// All shards of a worker share it.
class Budget {
 public:
  // `deadline` is that of one request.
  Budget(Collection collection, std::vector<RateTerm> terms,
         std::chrono::milliseconds deadline = std::chrono::seconds{30})
      : collection_(std::move(collection)), terms_(std::move(terms)), deadline_(deadline) {}

  // How long everybody waits after the first notice if the rate is unlimited, and after the first sign of an outage.
  static constexpr std::chrono::milliseconds kFirstPause{1000};

  // The permission to make one request.
  struct Ticket {
    mephisto::Microtime asked;
    mephisto::Loop::time_point sent;
    bool probe = false;         // the only request that checks whether an outage is over
    std::uint64_t answers = 0;  // differs from an earlier ticket's number if others were answered between the two
  };

  bool unlimited() const { return terms_.empty(); }
  // Takes one request from the budget; waits until the terms allow it. While the service is out of order, one request
  // at a time goes. Logs until when it waits, once for all that wait. An event that waits is given back when its worker
  // stops. A request that failed before (`again`) asks a little later than a new one, so that a working service is
  // noticed sooner.
  mephisto::Task<Ticket> acquire(bool again = false);
  // The request was answered, whatever the answer was: the service works.
  mephisto::Task<void> answered(Ticket ticket);
  // The service reported too many requests although the budget allowed this one: nobody asks before the wait is over.
  // Waits grow while the notices continue. They start at 1 s if the rate is unlimited; otherwise they go from the
  // shortest term's window to the longest one. If the service names a wait, that one counts. Notices to requests that
  // were in flight when the wait began count as one with the first.
  mephisto::Task<void> notice(Ticket ticket, std::optional<std::chrono::milliseconds> retry_after = std::nullopt);
  // The request was not answered: the service cannot be reached, is out of order (5xx), or broke off its answer. Such a
  // request does not count for terms of an hour or longer. Returns false if others are answered in the meantime: then
  // only this request has a problem. Otherwise, and at the fourth failure without an answer between them, nobody asks
  // before the wait is over; after it, one request does. Waits grow from 1 s to 1 min, or are those that the service
  // names. `why` is for people.
  mephisto::Task<bool> failed(Ticket ticket, const std::string& why,
                              std::optional<std::chrono::milliseconds> retry_after = std::nullopt);

  struct Use {
    RateTerm term;
    int used = 0;
    std::optional<mephisto::Timestamp> free_at;  // set while it is spent
  };
  mephisto::Task<std::vector<Use>> use();
  struct Pause {
    mephisto::Timestamp until;
    // Why the service cannot be asked; empty if the pause is because of a notice or the terms.
    std::string out_of_order;
  };
  // The pause that everybody makes now.
  mephisto::Task<std::optional<Pause>> pause();

 private:
  Collection collection_;
  std::vector<RateTerm> terms_;
  std::chrono::milliseconds deadline_;
  std::atomic<int> notices_ = 0;  // in a row
  std::atomic<std::uint64_t> answers_ = 0;
  std::atomic<int> failures_ = 0;  // since the last answer
  std::atomic<mephisto::Loop::time_point> last_answer_{};
  std::atomic<std::int64_t> logged_until_ = 0;  // end of the wait that was logged last
};

}  // namespace horton
